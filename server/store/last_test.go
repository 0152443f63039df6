package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctxhub/server/hub"
)

func TestLastEntry(t *testing.T) {
	line := func(sequence, content string) string {
		return `{"sequence":` + sequence + `,"content":"` + content + `","timestamp":"2026-01-02T03:04:05Z"}` + "\n"
	}
	long := strings.Repeat("x", 300<<10) // longer than what is read first
	for _, tt := range []struct {
		name, log string
		want      uint64
	}{
		{"empty", "", 0},
		{"one", line("1", "a"), 1},
		{"two", line("1", "a") + line("2", "b"), 2},
		{"a long one", line("1", "a") + line("2", long), 2},
		{"behind a long one", line("1", long) + line("2", "b"), 2},
		{"a long one alone", line("1", long), 1},
		{"a torn end", line("1", "a") + line("2", long)[:100<<10], 1},
		{"nothing whole", `{"sequence":1`, 0},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logName), []byte(tt.log), 0o600); err != nil {
			t.Fatal(err)
		}
		got, at, err := LastEntry(dir)
		if err != nil || got != tt.want || got > 0 && !at.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("%s: %d at %s, %v", tt.name, got, at, err)
		}
	}
	if got, _, err := LastEntry(t.TempDir()); err != nil || got != 0 {
		t.Errorf("no log: %d, %v", got, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logName), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LastEntry(dir); !errors.Is(err, hub.ErrDamaged) {
		t.Errorf("nonsense: %v", err)
	}
}
