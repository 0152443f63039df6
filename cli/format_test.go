package cli

import (
	"testing"
	"time"
)

func TestWordsForPeople(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, tt := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(uint64(1234567)), "1,234,567"},
		{size(0), "0 B"}, {size(1023), "1023 B"}, {size(1536), "1.5 KiB"}, {size(5 << 30), "5.0 GiB"}, {size(1 << 63), "8.0 EiB"},
		{span(0), "0 s"}, {span(59 * time.Second), "59 s"}, {span(61 * time.Second), "1 min 1 s"},
		{span(25 * time.Hour), "1 d 1 h"}, {span(time.Hour + time.Minute), "1 h 1 min"},
		{ago(now, time.Time{}), "never"}, {ago(now, now), "just now"}, {ago(now, now.Add(-time.Minute)), "1 min 0 s ago"},
		{plural(1, "entry", "entries"), "1 entry"}, {plural(2000, "entry", "entries"), "2,000 entries"},
		{oneLine("a\nb\x1b[31m\tc\u009b"), "a b [31m c"},
		{shellWord("a-b_c/d:9"), "a-b_c/d:9"}, {shellWord("it's"), `'it'\''s'`}, {shellWord(""), "''"},
		{systemdWord("plain"), "plain"}, {systemdWord("100% of $HOME"), `"100%% of $$HOME"`}, {systemdWord(`a"b\c`), `"a\"b\\c"`},
		{systemdWord(""), `""`}, {systemdPath("/a b/$c"), `"/a b/$c"`},
		{nearestType("decisions"), "decision"}, {nearestType("Lerning"), "learning"}, {nearestType("todo"), "task"}, {nearestType("conventoin"), "convention"},
		{typedAddress("http://nexus:9900"), "nexus:9900"}, {typedAddress("https://nexus:443"), "https://nexus:443"},
		{typedAddress("http://nexus:443"), "http://nexus:443"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"task", "task", 0}, {"tsak", "task", 2}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
