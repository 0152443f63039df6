package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctxhub/server/hub"
	"ctxhub/server/hub/hubtest"
)

// writeLog makes a log of the given commits, the number of entries in each, and returns its bytes and where each
// commit ends.
func writeLog(t *testing.T, commits ...int) (log []byte, ends []int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	n := 0
	for _, size := range commits {
		var batch []hub.Entry
		for range size {
			n++
			batch = append(batch, hubtest.Entry(fmt.Sprint("id-", n), fmt.Sprintf("entry %d \"q\"\n", n)))
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, int(s.log.active().size))
	}
	mustClose(t, s)
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return log, ends
}

// dirWith makes a data directory that holds a log and no meta.json, as after a crash before the first was due.
func dirWith(t *testing.T, log []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, logName), log, fileMode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestACutAtEveryByteLeavesWholeCommits(t *testing.T) {
	t.Parallel()
	commits := []int{1, 3, 1, 2}
	log, ends := writeLog(t, commits...)
	for cut := range len(log) + 1 {
		whole, entries, size := 0, 0, 0
		for ; whole < len(ends) && ends[whole] <= cut; whole++ {
			entries, size = entries+commits[whole], ends[whole]
		}
		dir := dirWith(t, log[:cut])
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		all := readAll(t, s, 0)
		if len(all) != entries {
			t.Fatalf("cut at %d: %d entries, want %d", cut, len(all), entries)
		}
		if kept := tornOf(t, dir); size < cut && !bytes.Equal(kept, log[size:cut]) {
			t.Fatalf("cut at %d: kept %q, want %q", cut, kept, log[size:cut])
		} else if size == cut && kept != nil {
			t.Fatalf("cut at %d, between commits: kept %q", cut, kept)
		}
		if reported := len(s.Notes) > 0; reported != (size < cut) {
			t.Fatalf("cut at %d: notes %q", cut, s.Notes)
		}
		if got, err := s.Append(t.Context(), []hub.Entry{hubtest.Entry("next", "x")}); err != nil || got[0] != uint64(entries+1) {
			t.Fatalf("cut at %d: the next entry: %v, %v", cut, got, err)
		}
		mustClose(t, s)
		s = mustOpen(t, dir)
		if n := len(readAll(t, s, 0)); n != entries+1 {
			t.Fatalf("cut at %d: %d entries after another restart", cut, n)
		}
		mustClose(t, s)
	}
}

func tornOf(t *testing.T, dir string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, logName+".torn-*"))
	if err != nil || len(names) > 1 {
		t.Fatal(names, err)
	}
	if len(names) == 0 {
		return nil
	}
	kept, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestHolesInTheLastCommitAreTorn: a power loss may leave any part of the last write unwritten, also with later
// lines of the same write on disk.
func TestHolesInTheLastCommitAreTorn(t *testing.T) {
	t.Parallel()
	log, ends := writeLog(t, 2, 4)
	for hole := ends[0]; hole < ends[1]; hole += 7 {
		holed := bytes.Clone(log)
		clear(holed[hole:min(hole+64, len(holed))])
		s, err := Open(dirWith(t, holed), Options{})
		if err != nil {
			t.Fatalf("hole at %d: %v", hole, err)
		}
		if n := len(readAll(t, s, 0)); n != 2 {
			t.Errorf("hole at %d: %d entries, want 2", hole, n)
		}
		mustClose(t, s)
	}
}

func TestEveryFlippedByteBeforeTheLastCommitIsRefused(t *testing.T) {
	t.Parallel()
	log, ends := writeLog(t, 1, 2, 1)
	lines := bytes.SplitAfter(log, []byte("\n"))
	offset, line := 0, 0
	for i := range ends[1] {
		for i >= offset+len(lines[line]) {
			offset += len(lines[line])
			line++
		}
		flipped := bytes.Clone(log)
		flipped[i] ^= 1 << (i % 8)
		dir := dirWith(t, flipped)
		s, err := Open(dir, Options{})
		if err == nil {
			mustClose(t, s)
			t.Fatalf("byte %d: opened", i)
		}
		if want := fmt.Sprintf("%s, line %d, byte %d ", filepath.Join(dir, logName), line+1, offset); !errors.Is(err, hub.ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Fatalf("byte %d: %v; want it to name %s", i, err, want)
		}
		if now, err := os.ReadFile(filepath.Join(dir, logName)); err != nil || !bytes.Equal(now, flipped) {
			t.Fatalf("byte %d: a refused log was changed (%v)", i, err)
		}
	}
}

func TestWhatMetaSaysWasAcknowledgedIsNeverCut(t *testing.T) {
	for name, damage := range map[string]func(log []byte) []byte{
		"last line cut":       func(log []byte) []byte { return log[:len(log)-1] },
		"last commit missing": func(log []byte) []byte { return log[:bytes.LastIndexByte(log[:len(log)-1], '\n')+1] },
		"last line changed":   func(log []byte) []byte { log[len(log)-90] ^= 1; return log },
		"everything gone":     func([]byte) []byte { return nil },
		"another hub's log": func([]byte) []byte {
			other, _ := writeLog(t, 1, 1, 1, 1)
			return other
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := mustOpen(t, dir)
			fill(t, s, 0, 4)
			mustClose(t, s) // which makes meta.json claim all four
			logFile := filepath.Join(dir, logName)
			log, err := os.ReadFile(logFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(logFile, damage(log), fileMode); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(dir, Options{}); !errors.Is(err, hub.ErrDamaged) {
				mustClose(t, s)
				t.Fatalf("opened: %v", err)
			}
		})
	}
}

func TestAFileThatIsNoLogIsNotATornOne(t *testing.T) {
	for _, text := range []string{"Dear diary,\n", `{"name":"not a hub's"}` + "\n"} {
		dir := dirWith(t, []byte(text))
		if _, err := Open(dir, Options{}); !errors.Is(err, hub.ErrDamaged) {
			t.Errorf("%.20s…: %v", text, err)
		}
		if now, err := os.ReadFile(filepath.Join(dir, logName)); err != nil || string(now) != text {
			t.Errorf("a refused file was changed: %q, %v", now, err)
		}
	}
}

func TestACopiedLogAloneIsUsable(t *testing.T) {
	log, _ := writeLog(t, 3, 2)
	s := mustOpen(t, dirWith(t, log))
	defer mustClose(t, s)
	if n := len(readAll(t, s, 0)); n != 5 || len(s.Notes) != 0 {
		t.Errorf("%d entries, notes %q", n, s.Notes)
	}
}

func TestFormats(t *testing.T) {
	for text, want := range map[string]error{
		`{"format": 2, "hub_id": "x"}`:                               ErrNewerFormat,
		`{"sequence_counter": 12, "created_at": "2026-01-01T00:00Z"`: hub.ErrDamaged,
		`{"format": 1}`: hub.ErrDamaged,
	} {
		dir := dirWith(t, nil)
		if err := os.WriteFile(filepath.Join(dir, metaName), []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestDamagedProjectsAreRefused(t *testing.T) {
	for _, text := range []string{`{`, `{"projects":[{"name":"api","token_sha256":"12"}]}`} {
		dir := dirWith(t, nil)
		if err := os.WriteFile(filepath.Join(dir, projectsName), []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, hub.ErrDamaged) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDamageWhileServingIsNotServed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 8)
	mustClose(t, s)
	s = mustOpen(t, dir) // with an empty cache
	defer mustClose(t, s)
	logFile := filepath.Join(dir, logName)
	log, err := os.ReadFile(logFile)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(log, []byte("entry 5"))
	log[at] = 'E'
	if err := os.WriteFile(logFile, log, fileMode); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(0, 8, AllTypes); !errors.Is(err, hub.ErrDamaged) {
		t.Errorf("a changed line was read: %v", err)
	}
	if b, err := s.Read(0, 5, AllTypes); err != nil || len(b.Entries) != 5 {
		t.Errorf("what is before it: %d entries, %v", len(b.Entries), err)
	}
}
