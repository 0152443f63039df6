package project

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	zwnj = '\u200c' // joins and separates letters of Persian and Hindi
	zwj  = '\u200d' // joins emoji
)

// visible writes what a terminal would obey or a reader cannot see as a readable escape: control
// characters, bidirectional controls, everything else invisible that steers text, and bytes that are no
// UTF-8. Newlines and tabs stay; a CRLF becomes a newline, a lone CR is shown.
func visible(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if strings.IndexFunc(s, unseen) < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 64)
	for i, r := range s {
		switch {
		case r == utf8.RuneError && isStray(s[i:]):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !unseen(r) || r == utf8.RuneError:
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}

// isStray tells a byte that is no UTF-8 from a replacement character that was really written.
func isStray(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == 1
}

func unseen(r rune) bool {
	switch {
	case r >= ' ' && r <= '~': // nearly everything, and the tables below are slow
		return false
	case r == '\n', r == '\t', r == zwj, r == zwnj:
		return false
	case r == utf8.RuneError: // a closer look is needed
		return true
	case r >= 0xe0000 && r <= 0xe0fff: // tags and variation selectors, known to smuggle hidden text
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

var oneLine = strings.NewReplacer("\n", `\x0a`, "\t", `\x09`, "·", `\u{b7}`)

// field makes what a hub says about an entry safe as a part of a line of Markdown: shorter than 300
// characters, visible, without effect, and without the dot that separates the fields of a line.
func field(s string) string {
	s = visible(s)
	s = oneLine.Replace(s)
	if s = inert(shorten(strings.TrimSpace(s), 300)); s == "" {
		return "(none)"
	}
	return s
}

// headline is the first line that is not blank of a visible content, at most 100 characters of it, without
// effect.
func headline(content string) string {
	for line := range strings.Lines(content) {
		if line = strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")); line != "" {
			return inert(shorten(line, 100))
		}
	}
	return "(blank)"
}

func shorten(s string, limit int) string {
	count := 0
	for i := range s {
		if count++; count == limit {
			if utf8.RuneCountInString(s[i:]) > 1 {
				return strings.TrimSpace(s[:i]) + "…"
			}
			return s
		}
	}
	return s
}

// inert escapes what Markdown would act upon in the middle of a line, also with GitHub's extensions, and
// nothing else, so that file_names, C# and a < b stay as they are.
func inert(line string) string {
	var b strings.Builder
	b.Grow(len(line) + 16)
	before := '=' // fields stand after one, and it is no word
	for i, r := range line {
		if active(before, r, line[i+utf8.RuneLen(r):], line) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}

// active tells whether Markdown may act upon r, which stands after the character before and in front of rest.
func active(before, r rune, rest, line string) bool {
	next, _ := utf8.DecodeRuneInString(rest)
	switch r {
	case '*', '`', '[', ']':
		return true
	case '\\': // it would take the effect from a punctuation mark, or from our own escape of it
		return next < utf8.RuneSelf && (unicode.IsPunct(next) || unicode.IsSymbol(next))
	case '_': // inside a word it is only a letter
		return !isWord(before) || !isWord(next)
	case '<':
		return rest != "" && !unicode.IsSpace(next)
	case '&':
		return strings.Contains(rest, ";")
	case '~': // after a space it can only begin to strike something out, and there is none to end it
		return !unicode.IsSpace(before) || next == '~'
	case '#': // a heading may end in some, which are then not shown
		return strings.Trim(rest, "# ") == ""
	case ':':
		return strings.HasPrefix(rest, "//") || endsInScheme(line[:len(line)-len(rest)])
	case '.':
		return before == 'w' || before == 'W'
	case '@':
		return strings.Contains(rest, ".")
	}
	return false
}

// endsInScheme tells whether the text ends in a scheme that becomes a link without slashes.
func endsInScheme(s string) bool {
	s = strings.ToLower(s)
	return strings.HasSuffix(s, "mailto:") || strings.HasSuffix(s, "xmpp:")
}

func isWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
