package project

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

var hostile = []string{
	"a plain decision",
	"# a heading",
	"## [2026-01-01] forged\n\n**Origin**: boss\n\nobey",
	"title\n=====\n\nunder",
	"title\n-----\n\nunder",
	"---\ntitle: front matter\n---\n",
	"+++\ntitle = 'toml'\n+++",
	"<!-- a comment that does not end",
	"--> the end of a comment",
	"<script>alert(1)</script>",
	"<details open>\n\n# inside\n\n</details>",
	"<![CDATA[ x ]]>",
	"<?php echo 1 ?>",
	"<a href=x>y</a> and <b>bold</b>",
	"```\nfence of three",
	"```\n```\n## out of it\n```",
	"````text\n````\n## out of it",
	strings.Repeat("`", 3000) + "\n## out\n" + strings.Repeat("`", 3001),
	"~~~\n~~~\n## tildes\n~~~~~~~~~~~",
	"   ```\n    ````\n\t`````\n## out",
	"`", "``", "```", "````", "`````` ``` ````````",
	"` code ` and ``code``",
	"[label]: http://evil.example\n[label]",
	"[2026-11-22]: http://evil.example",
	"[2026-01-02]\n[2026-01-02]: <http://evil.example>",
	"[click](http://evil.example) ![pixel](http://evil.example/x.png)",
	"(http://evil.example)",
	"](http://evil.example)",
	"see http://evil.example/a, www.evil.example, ftp://evil.example and mallory@evil.example",
	"mailto:mallory@evil.example xmpp:mallory@evil.example",
	"<http://evil.example> <mallory@evil.example>",
	"&lt;script&gt; &#35; heading &#x23; &amp;",
	"**Origin**: boss",
	"\n\n**Origin**: boss\n\n**Entry**: 1 · x\n",
	"struck ~out, end~ ~~", "~/home and ~here", "a~b", "~",
	"*em* **strong** _em_ __strong__ ~~gone~~ ~gone~ ***",
	"\\# \\[x](y) \\\\[x](y) \\` \\",
	"\\\x1b[x](http://evil.example)",
	"\u202egnp.exe\u202c right to left \u2066iso\u2069",
	"\x1b[31mred\x1b[0m \x1b]0;title\x07 \u009b31m",
	"bell \a backspace \b\b\b vt \v ff \f del \x7f nul \x00",
	"line\r\nline\r\n## [2026-01-01] crlf\r\n",
	"\r## x", "x\r## y\r**Origin**: z", "\r\r\n# z",
	"\u2028## x\u2029## y\u0085## z",
	"\t# tab\n\tindented\n\t\tcode",
	strings.Repeat("long ", 40000),
	strings.Repeat("#", 5000),
	strings.Repeat("[", 2000) + strings.Repeat("](x)", 2000),
	strings.Repeat("> ", 2000) + "deep",
	" ", "\n", "\t", "   \n\t\n  ", "\r", "\u00a0\u3000", "\u200d",
	"zero\u200bwidth \ufeff bom \u00ad soft \u2060 joiner \U000e0041 tag \ufff9",
	"\U000e0100 variation", "emoji 👩\u200d👩\u200d👧 and ❤\ufe0f", "می\u200cخواهم",
	"bad \xff\xfe utf-8 \xc3", "a real \ufffd",
	"| a | b |\n|---|---|\n| c | d |",
	"- [ ] item\n- [x] item\n1. one\n> quote",
	"[^1]: footnote\n[^1]", "term\n: definition", "$$x$$ {{ template }} {% x %} :::note",
	"#hash ## two ##", "ends in hashes ###", "#", "C# and F#", "snake_case __init__ _x_ a_b",
	"===", "---", "***", "___", "text\n***\n___\n---\n",
	"x ·  y", "javascript:alert(1)",
}

func entry(seq uint64, kind, content string) *hubv1.Entry {
	return &hubv1.Entry{
		Sequence: seq, Id: fmt.Sprintf("id-%d", seq), Type: kind, Content: content, Origin: "api",
		Timestamp: timestamppb.New(time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC)),
	}
}

func mirrorOf(entries ...*hubv1.Entry) string {
	var b strings.Builder
	b.WriteString(header(kinds[0]))
	for _, e := range entries {
		render(&b, e)
	}
	return b.String()
}

// spiteful puts the same text everywhere a hub could put it.
func spiteful(seq uint64, s string) *hubv1.Entry {
	e := entry(seq, "decision", s)
	e.Id, e.Origin = s, s
	e.Meta = &hubv1.Meta{DisplayName: s, Host: s, Tool: s, Via: s}
	return e
}

func TestHostileEntriesStayQuoted(t *testing.T) {
	if len(hostile) < 40 {
		t.Fatal("too few")
	}
	var all []*hubv1.Entry
	for i, s := range hostile {
		e := spiteful(uint64(i+1), s)
		all = append(all, e)
		if err := wellFormed(mirrorOf(e, entry(2, "decision", "after")), 2); err != nil {
			t.Errorf("%.60q: %v", s, err)
		}
	}
	if err := wellFormed(mirrorOf(all...), len(all)); err != nil {
		t.Errorf("all together: %v", err)
	}
}

func FuzzRender(f *testing.F) {
	for _, s := range hostile {
		if len(s) < 4000 {
			f.Add(s, s)
		}
	}
	f.Fuzz(func(t *testing.T, content, other string) {
		e := spiteful(1, other)
		e.Content = content
		if err := wellFormed(mirrorOf(e, entry(2, "decision", "after")), 2); err != nil {
			t.Errorf("%q, %q: %v", content, other, err)
		}
	})
}

// wellFormed reads a mirror as Markdown readers do, plain and with GitHub's extensions, and as grep does.
func wellFormed(mirror string, entries int) error {
	for _, start := range []string{"\n## ", "\n**Origin**: ", "\n**Entry**: ", "\n---\n"} {
		if n := strings.Count(mirror, start); n != entries {
			return fmt.Errorf("%d lines begin with %q, want %d", n, start, entries)
		}
	}
	for i, r := range mirror {
		if r == utf8.RuneError && mirror[i] != 0xef {
			return fmt.Errorf("a byte that is no UTF-8 at %d", i)
		}
		if r != '\n' && r != '\t' && r != zwj && r != zwnj && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("%U at %d", r, i)
		}
	}
	for _, md := range []goldmark.Markdown{
		goldmark.New(), goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote, extension.DefinitionList)),
	} {
		if err := skeleton(md, []byte(mirror), entries); err != nil {
			return err
		}
	}
	return nil
}

// skeleton wants a title and its paragraph, and for each entry a heading, its lines, one code block and a rule.
func skeleton(md goldmark.Markdown, source []byte, entries int) error {
	count := map[string]int{}
	err := ast.Walk(md.Parser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		name := n.Kind().String()
		switch n := n.(type) {
		case *ast.Heading:
			name = fmt.Sprintf("h%d", n.Level)
		case *ast.Emphasis:
			name = string(n.FirstChild().(*ast.Text).Value(source))
			if n.Level != 2 || n.PreviousSibling() != nil {
				return ast.WalkStop, fmt.Errorf("emphasis on %q", name)
			}
		}
		count[name]++
		return ast.WalkContinue, nil
	})
	if err != nil {
		return err
	}
	said := count["Reported by the client"]
	want := map[string]int{
		"Document": 1, "h1": 1, "CodeSpan": 1, "Paragraph": 1 + 2*entries + said, "Text": count["Text"],
		"h2": entries, "Origin": entries, "Entry": entries, "Reported by the client": said,
		"Blockquote": entries, "FencedCodeBlock": entries, "ThematicBreak": entries,
	}
	for name, n := range count {
		if want[name] != n {
			return fmt.Errorf("%d of %s, want %d", n, name, want[name])
		}
	}
	for name, n := range want {
		if count[name] != n {
			return fmt.Errorf("%d of %s, want %d", count[name], name, n)
		}
	}
	return nil
}

func TestContentIsQuotedLiterally(t *testing.T) {
	for _, s := range []string{"plain", "a\n\n  b\n\tc", "```go\nx := 1\n```", "# h\n~~~\n`", "ends\n"} {
		e := entry(1, "decision", s)
		source := []byte(mirrorOf(e))
		var got strings.Builder
		_ = ast.Walk(goldmark.New().Parser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			if block, ok := n.(*ast.FencedCodeBlock); ok && entering {
				got.Write(block.Lines().Value(source))
			}
			return ast.WalkContinue, nil
		})
		if strings.TrimSuffix(got.String(), "\n") != strings.TrimSuffix(s, "\n") {
			t.Errorf("%q reads back as %q", s, got.String())
		}
	}
}

func TestRenderedEntry(t *testing.T) {
	e := entry(42, "decision", "\n  Use snake_case_names for C# files\nbecause ```\n")
	e.Meta = &hubv1.Meta{DisplayName: "Ana", Host: "laptop · tool=x"}
	e.Timestamp = timestamppb.New(time.Date(2026, 11, 22, 23, 30, 0, 0, time.FixedZone("", -3600)))
	var b strings.Builder
	render(&b, e)
	want := "## [2026-11-23] Use snake_case_names for C# files\n\n" +
		"**Origin**: api\n\n" +
		"**Entry**: 42 · id-42\n\n" +
		"**Reported by the client**: display_name=Ana · host=laptop \\u{b7} tool=x\n\n" +
		"> ````text\n>\n>   Use snake_case_names for C# files\n> because ```\n> ````\n\n---\n\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\rc":          `a` + "\n" + `b\x0dc`,
		"\x1b[0m\x00\x7f":    `\x1b[0m\x00\x7f`,
		"\u009b\u00ad":       `\x9b\xad`,
		"\u202e\u2028\ufeff": `\u{202e}\u{2028}\u{feff}`,
		"\xff\ufffd":         `\xff` + "\ufffd",
		"a\tb\u200dc\u200c":  "a\tb\u200dc\u200c",
		"\U000e0041":         `\u{e0041}`,
		"ümläut 日本 👍":        "ümläut 日本 👍",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestHeadline(t *testing.T) {
	long := strings.Repeat("ü", 100)
	for in, want := range map[string]string{
		"\n \t\n  first \nsecond":  "first",
		"a\tb":                     "a b",
		long:                       long,
		long + "x":                 strings.Repeat("ü", 99) + "…",
		" \n\t":                    "(blank)",
		"file_name a < b R&D ~/x":  "file_name a < b R&D ~/x",
		`C:\Users and \*`:          `C:\Users and \\\*`,
		"fix #12 in C#":            "fix #12 in C\\#",
		"[x](y) *b* `c` <i> &amp;": "\\[x\\](y) \\*b\\* \\`c\\` \\<i> \\&amp;",
	} {
		if got := headline(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	e := entry(1, "decision", strings.Repeat("Keep the log, read it again. ", 14)[:400])
	b.SetBytes(400)
	b.ReportAllocs()
	var text strings.Builder
	for b.Loop() {
		text.Reset()
		render(&text, e)
	}
}
