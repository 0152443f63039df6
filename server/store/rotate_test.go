package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ctxhub/server/hub"
	"ctxhub/server/hub/hubtest"
)

// TestAReaderCrossesTheArchive: with the log rotated at any places, every read gives what one file would have given, while
// it runs and after a restart, and ids of old entries are still known.
func TestAReaderCrossesTheArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 700)
	first := mustRotate(t, s)
	if again := mustRotate(t, s); again != (Archive{}) {
		t.Errorf("nothing was left to seal, and %+v was", again)
	}
	fill(t, s, 700, 701)
	mustRotate(t, s)
	fill(t, s, 701, 1300)
	if first.First != 1 || first.Last != 700 {
		t.Errorf("sealed %+v", first)
	}
	for range 2 {
		all := readAll(t, s, 0)
		if len(all) != 1300 || s.Oldest() != 1 {
			t.Fatalf("%d entries from %d", len(all), s.Oldest())
		}
		for i, e := range all {
			if e.Sequence != uint64(i+1) || e.ID != fmt.Sprint("id-", i) {
				t.Fatalf("entry %d is %s with sequence %d", i+1, e.ID, e.Sequence)
			}
		}
		for _, after := range []uint64{0, 1, 698, 699, 700, 701, 702, 1299} {
			if rest := readAll(t, s, after); len(rest) != 1300-int(after) {
				t.Errorf("after %d: %d entries", after, len(rest))
			}
		}
		if got, err := s.Append(t.Context(), []hub.Entry{all[3]}); err != nil || got[0] != 4 {
			t.Errorf("an archived id again: %v, %v", got, err)
		}
		mustClose(t, s)
		s = mustOpen(t, dir)
	}
	mustClose(t, s)
	wantModes(t, dir)
}

func TestRotationGoesOnWhileOthersPublishAndRead(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
	const publishers, each = 4, 100
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.Append(t.Context(), []hub.Entry{hubtest.Entry(fmt.Sprintf("%d-%d", p, i), strings.Repeat("x", 100*i))}); err != nil {
					t.Error(err)
					return
				}
				if i%20 == 0 {
					if _, err := s.Rotate(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for cursor := uint64(0); cursor < publishers*each; {
				head, moved := s.Head()
				b, err := s.Read(cursor, head, AllTypes)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range b.Entries {
					if cursor++; e.Sequence != cursor {
						t.Errorf("got %d, want %d", e.Sequence, cursor)
						return
					}
				}
				if cursor == head && cursor < publishers*each {
					<-moved
				}
			}
		})
	}
	wg.Wait()
	dir := s.Dir()
	mustClose(t, s)
	if r := mustVerify(t, dir); len(r.Problems) > 0 || r.Entries != publishers*each {
		t.Errorf("%+v", r)
	}
}

// TestARemovedArchiveIsMissedClearly: readers below it are told, readers above it notice nothing, and what is there is
// numbered as before.
func TestARemovedArchiveIsMissedClearly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	for i := range 3 {
		fill(t, s, 10*i, 10*i+10)
		mustRotate(t, s)
	}
	fill(t, s, 30, 33)
	mustClose(t, s)
	middle := filepath.Join(dir, archivedName(11, 20))
	if err := os.Rename(middle, filepath.Join(t.TempDir(), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if s.Oldest() != 21 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], archivedName(1, 10)) {
		t.Errorf("oldest %d, notes %q", s.Oldest(), s.Notes)
	}
	for _, after := range []uint64{0, 10, 19} {
		if _, err := s.Read(after, 33, AllTypes); !errors.Is(err, hub.ErrArchived) || !strings.Contains(err.Error(), "up to 20") {
			t.Errorf("after %d: %v", after, err)
		}
	}
	rest := readAll(t, s, 20)
	if len(rest) != 13 || rest[0].Sequence != 21 || rest[0].ID != "id-20" {
		t.Errorf("%d entries from %+v", len(rest), rest[0])
	}
	b, err := s.Read(20, 33, AllTypes)
	if err != nil || b.AfterSum == "" {
		t.Errorf("the sum before the oldest: %q, %v", b.AfterSum, err)
	}
	fill(t, s, 33, 35)
	mustRotate(t, s)
	mustClose(t, s)
	if r := mustVerify(t, dir); len(r.Problems) > 0 || r.Oldest != 21 || r.Entries != 15 {
		t.Errorf("%+v", r)
	}
	// All of the archive gone.
	if err := os.RemoveAll(filepath.Join(dir, archiveName)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if head, _ := s.Head(); head != 35 || s.Oldest() != 36 {
		t.Errorf("head %d, oldest %d", head, s.Oldest())
	}
	if b, err := s.Read(35, 35, AllTypes); err != nil || b.Sum == "" || b.Sum != b.AfterSum {
		t.Errorf("%+v, %v", b, err)
	}
	fill(t, s, 35, 36)
	mustClose(t, s)
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	if all := readAll(t, s, 35); len(all) != 1 || all[0].Sequence != 36 {
		t.Errorf("%+v", all)
	}
}

// TestARotatedLogAloneIsUsable: cp entries.jsonl is a backup of what it holds, also after a rotation.
func TestARotatedLogAloneIsUsable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 5)
	mustRotate(t, s)
	fill(t, s, 5, 8)
	mustClose(t, s)
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dirWith(t, log))
	defer mustClose(t, s)
	if all := readAll(t, s, 5); len(all) != 3 || all[0].Sequence != 6 || s.Oldest() != 6 {
		t.Errorf("%+v", all)
	}
}

// TestASealedFileIsNotCut: only the log's own end can be torn.
func TestASealedFileIsNotCut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 5)
	a := mustRotate(t, s)
	mustClose(t, s)
	name := filepath.Join(dir, archiveName, a.Name)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text[:len(text)-5], fileMode); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, hub.ErrDamaged) || !strings.Contains(err.Error(), a.Name+", line 5,") {
		t.Errorf("%v", err)
	}
}

// TestAFaultAtEveryStepOfARotation lets the n-th change of the disk fail, for every n, and wants the log to be whole,
// then and after a restart.
func TestAFaultAtEveryStepOfARotation(t *testing.T) {
	t.Parallel()
	for _, stays := range []bool{false, true} {
		for n := 0; ; n++ {
			s, f, dir := openFaulty(t)
			want := []string{"a", "b"}
			for _, id := range want {
				if err := appendOne(t, s, id); err != nil {
					t.Fatal(err)
				}
			}
			f.arm(n, "", stays)
			_, err := s.Rotate(t.Context())
			fired := f.broken
			if fired && err == nil {
				t.Errorf("fault at %d: the rotation says nothing", n)
			}
			if got := len(readAll(t, s, 0)); got != 2 {
				t.Errorf("fault at %d: %d entries readable", n, got)
			}
			f.arm(-1, "", false)
			if appendOne(t, s, "c") == nil {
				want = append(want, "c")
			}
			_ = s.Close() // what counts is what the disk holds
			s = mustOpen(t, dir)
			all := readAll(t, s, 0)
			if len(all) != len(want) {
				t.Errorf("fault at %d, stays %v: %d entries after a restart, want %v", n, stays, len(all), want)
			}
			mustClose(t, s)
			if r := mustVerify(t, dir); len(r.Problems) > 0 {
				t.Errorf("fault at %d: %+v", n, r.Problems)
			}
			if !fired {
				break
			}
		}
	}
}

// TestARotationKilledBetweenItsRenames is what a kill leaves in the worst moment.
func TestARotationKilledBetweenItsRenames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 5)
	a := mustRotate(t, s)
	mustClose(t, s)
	if err := os.Remove(filepath.Join(dir, logName)); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); len(r.Problems) != 0 || r.Entries != 5 {
		t.Errorf("%+v", r)
	}
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	if _, err := os.Stat(filepath.Join(dir, archiveName, a.Name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the archive still has it: %v", err)
	}
	if n := len(readAll(t, s, 0)); n != 5 {
		t.Errorf("%d entries", n)
	}
	fill(t, s, 5, 6)
	if again := mustRotate(t, s); again.Last != 6 {
		t.Errorf("%+v", again)
	}
}
