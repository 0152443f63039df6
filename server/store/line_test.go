package store

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ctxhub/server/hub"
)

// asJSON is a line as any JSON reader sees it: the public contract of entries.jsonl.
type asJSON struct {
	Sequence  uint64            `json:"sequence"`
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Content   string            `json:"content"`
	Origin    string            `json:"origin"`
	Timestamp time.Time         `json:"timestamp"`
	Meta      map[string]string `json:"meta"`
	Commit    []uint64          `json:"commit"`
	Sum       string            `json:"sum"`
}

func testEntry(id, content string) hub.Entry {
	return hub.Entry{
		ID: id, Type: hub.Learning, Content: content, Origin: "api@laptop",
		Timestamp: time.Date(2026, 11, 22, 10, 30, 0, 123456789, time.UTC),
		Meta:      hub.Meta{DisplayName: `Ana "x"`, Tool: "ctx"},
	}
}

func TestLineIsJSONWithTheDocumentedFields(t *testing.T) {
	content := "first \"line\"\n\ttab \\ back\r\n\x00\x1b ünïcode 日本 \u2028 end"
	p := prepare([]hub.Entry{testEntry("id-1", content)})[0]
	line, _ := appendLine(nil, &p, 7, group{5, 9}, sum{})
	var got asJSON
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Sequence != 7 || got.ID != "id-1" || got.Type != "learning" || got.Content != content ||
		got.Origin != "api@laptop" || !got.Timestamp.Equal(p.entry.Timestamp) || got.Meta["display_name"] != `Ana "x"` ||
		len(got.Meta) != 2 || got.Commit[0] != 5 || got.Commit[1] != 9 || len(got.Sum) != 64 {
		t.Errorf("decoded %+v", got)
	}
	if bytes.Count(line, []byte("\n")) != 1 {
		t.Error("a line has more than one newline")
	}
}

func FuzzLineComesBack(f *testing.F) {
	f.Add("id", "content", "origin", "tool", uint64(1))
	f.Add("a.b:c-d_e", "\\\"\n\r\t\x00\x1f\x7f", "ö", "\\", uint64(1<<40))
	f.Fuzz(func(t *testing.T, id, content, origin, tool string, sequence uint64) {
		for _, s := range []string{id, content, origin, tool} {
			if !utf8.ValidString(s) {
				return // only valid UTF-8 is ever stored
			}
		}
		sequence %= 1 << 62
		want := testEntry(id, content)
		want.Origin, want.Meta.Tool, want.Sequence = origin, tool, sequence
		p := prepare([]hub.Entry{want})[0]
		prior := sum{1, 2, 3}
		line, next := appendLine(nil, &p, sequence, group{sequence, sequence + 1}, prior)
		if !json.Valid(line) {
			t.Fatalf("not JSON: %q", line)
		}
		s, err := splitLine(line[:len(line)-1])
		if err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if !s.chained(prior) || s.sum != next || s.chained(sum{}) {
			t.Fatal("the chain does not hold")
		}
		got, err := s.entry()
		if err != nil || got != want {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

// FuzzSplitLine looks for bytes that make the decoder panic, or that it takes for a line although a JSON reader
// would read something else.
func FuzzSplitLine(f *testing.F) {
	p := prepare([]hub.Entry{testEntry("id", "some \"content\"\n")})[0]
	line, _ := appendLine(nil, &p, 3, group{2, 3}, sum{})
	f.Add(line[:len(line)-1])
	f.Add([]byte(`{"sequence":1,"id":"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		text := string(line)
		s, err := splitLine(line)
		if err != nil {
			return
		}
		e, err := s.entry()
		if err != nil {
			return
		}
		var got asJSON
		if json.Unmarshal([]byte(text), &got) != nil {
			return // the sum guards against bytes that were never written; here it was not asked
		}
		if got.Sequence != e.Sequence || utf8.ValidString(text) && (got.ID != e.ID || got.Content != e.Content) {
			t.Fatalf("%q: JSON says %+v, the store %+v", text, got, e)
		}
	})
}

func TestEveryFlippedBitOfALineIsSeen(t *testing.T) {
	p := prepare([]hub.Entry{testEntry("id-1", "content with \"escapes\"\n and ünïcode \x01")})[0]
	prior := sum{9}
	line, _ := appendLine(nil, &p, 12, group{11, 13}, prior)
	line = line[:len(line)-1]
	for i := range len(line) * 8 {
		flipped := bytes.Clone(line)
		flipped[i/8] ^= 1 << (i % 8)
		if s, err := splitLine(flipped); err == nil && s.chained(prior) {
			t.Errorf("bit %d of byte %d (%q) flipped unseen", i%8, i/8, line[i/8])
		}
	}
}

func TestPrepareKeepsLargeContent(t *testing.T) {
	content := strings.Repeat("\x01", hub.MaxContent)
	p := prepare([]hub.Entry{testEntry("big", content)})[0]
	line, _ := appendLine(nil, &p, 1, group{1, 1}, sum{})
	s, err := splitLine(line[:len(line)-1])
	if err != nil {
		t.Fatal(err)
	}
	if e, err := s.entry(); err != nil || e.Content != content {
		t.Errorf("%d bytes came back, %v", len(e.Content), err)
	}
	if len(line) > p.size() {
		t.Errorf("size() is %d, the line has %d bytes", p.size(), len(line))
	}
}
