package store

import (
	"path/filepath"
	"testing"

	"ctxhub/server/hub"
)

// TestBatchesTellTheSumsOfTheirEnds: a batch follows on from the one before, and the sums are those of the file,
// whether it was read from there or from memory, with every filter.
func TestBatchesTellTheSumsOfTheirEnds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 1500) // more than the cache and a batch hold
	sumOf := func(sequence uint64) string {
		if sequence == 0 {
			return ""
		}
		sum, err := s.log.sumAt(sequence)
		if err != nil {
			t.Fatal(err)
		}
		return sum.String()
	}
	check := func(after, until uint64, types TypeSet) {
		t.Helper()
		b, err := s.Read(after, until, types)
		if err != nil {
			t.Fatal(err)
		}
		if b.AfterSum != sumOf(after) || b.Sum != sumOf(b.Cursor) {
			t.Fatalf("read from %d to %d: sums %.8s and %.8s, want %.8s and %.8s",
				after, b.Cursor, b.AfterSum, b.Sum, sumOf(after), sumOf(b.Cursor))
		}
	}
	tasks, err := NewTypeSet([]string{string(hub.Task)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for after := range uint64(1501) {
			for _, until := range []uint64{after, after + 1, 1500} {
				check(after, until, AllTypes)
				check(after, until, tasks)
			}
		}
		mustClose(t, s)
		s = mustOpen(t, dir) // with an empty cache
	}
	mustClose(t, s)
}
