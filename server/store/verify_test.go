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

func mustVerify(t *testing.T, dir string) *Report {
	t.Helper()
	report, err := Verify(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// smallHub makes a data directory with an archive, a batch and a few entries, and closes it.
func smallHub(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	n := 0
	add := func(size int) {
		var batch []hub.Entry
		for range size {
			n++
			batch = append(batch, hubtest.Entry(fmt.Sprint("id-", n), fmt.Sprintf("entry %d \"q\"\n", n)))
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	add(1)
	add(2)
	mustRotate(t, s)
	add(1)
	add(3)
	add(1)
	for _, name := range []string{"api", "web"} {
		if err := s.Register(t.Context(), hub.Project{ID: name, Name: name, Token: hub.HashToken(name)}, hub.TokenHash{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.AdminToken(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return dir
}

func mustRotate(t *testing.T, s *Store) Archive {
	t.Helper()
	a, err := s.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// copyDir copies a data directory to a new place.
func copyDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if _, err := closeAll(to); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestVerifyOfAGoodDirectory(t *testing.T) {
	dir := smallHub(t)
	r := mustVerify(t, dir)
	if len(r.Problems) != 0 || len(r.Notes) != 0 || r.Head != 8 || r.Entries != 8 || r.Oldest != 1 || r.Files != 2 || r.Projects != 2 || r.HubID == "" {
		t.Errorf("%+v", r)
	}
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	if r := mustVerify(t, dir); len(r.Problems) != 0 {
		t.Errorf("beside a running hub: %+v", r)
	}
}

// TestVerifyNamesEveryFlippedBit flips a bit of every byte of a small hub's log, its archive included, and wants verify to
// name the file and the line, and to lose no other entry.
func TestVerifyNamesEveryFlippedBit(t *testing.T) {
	t.Parallel()
	good := smallHub(t)
	archive := archivedName(1, 3)
	for _, name := range []string{archive, logName} {
		text, err := os.ReadFile(filepath.Join(good, name))
		if err != nil {
			t.Fatal(err)
		}
		line, begins := uint64(1), 0
		dir := copyDir(t, good)
		for at := range text {
			if at > 0 && text[at-1] == '\n' {
				line, begins = line+1, at
			}
			flipped := bytes.Clone(text)
			flipped[at] ^= 1 << (at % 8)
			if err := os.WriteFile(filepath.Join(dir, name), flipped, fileMode); err != nil {
				t.Fatal(err)
			}
			r := mustVerify(t, dir)
			if len(r.Problems) != 1 {
				t.Fatalf("%s, byte %d: problems %+v", name, at, r.Problems)
			}
			p := r.Problems[0]
			if p.File != filepath.ToSlash(name) || p.Line != line || p.Offset != int64(begins) || p.Lost > 1 || r.Entries+p.Lost != 8 {
				t.Fatalf("%s, byte %d (line %d at %d): %+v, %d entries", name, at, line, begins, p, r.Entries)
			}
		}
	}
}

func TestVerifyNamesWhatElseIsWrong(t *testing.T) {
	for name, damage := range map[string]struct {
		do    func(dir string) error
		file  string
		words string
	}{
		"meta.json": {func(dir string) error { return os.WriteFile(filepath.Join(dir, metaName), []byte("{"), fileMode) }, metaName, "not what was written"},
		"projects.json": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, projectsName), []byte(`{"projects":[{"token_sha256":"1"}]}`), fileMode)
		}, projectsName, "not what was written"},
		"admin.token": {func(dir string) error { return os.WriteFile(filepath.Join(dir, tokenName), nil, fileMode) }, tokenName, "no token"},
		"the end is missing": {func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, logName))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, logName), text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1], fileMode)
		}, metaName, "entries up to 8 were acknowledged"},
		"the log of another hub": {func(dir string) error {
			log, _ := writeLog(t, 8)
			return errors.Join(os.RemoveAll(filepath.Join(dir, archiveName)), os.WriteFile(filepath.Join(dir, logName), log, fileMode))
		}, metaName, "not written for this log"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := smallHub(t)
			if err := damage.do(dir); err != nil {
				t.Fatal(err)
			}
			r := mustVerify(t, dir)
			if len(r.Problems) != 1 || r.Problems[0].File != damage.file || !strings.Contains(r.Problems[0].String(), damage.words) {
				t.Errorf("%+v", r.Problems)
			}
		})
	}
}

// TestVerifyKnowsATornTail: what a crash leaves at the end is no damage, and no more than a start would cut.
func TestVerifyKnowsATornTail(t *testing.T) {
	t.Parallel()
	commits := []int{1, 2, 3}
	log, ends := writeLog(t, commits...)
	for cut := range len(log) + 1 {
		entries := 0
		for i, end := range ends {
			if end <= cut {
				entries += commits[i]
			}
		}
		r := mustVerify(t, dirWith(t, log[:cut]))
		torn := len(r.Notes) == 2 // the other is that there is no meta.json
		whole := cut == 0 || cut == ends[0] || cut == ends[1] || cut == ends[2]
		if len(r.Problems) != 0 || r.Entries != uint64(entries) || r.Head != uint64(entries) || torn == whole {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
	}
}

// TestVerifyBesideABusyHub: a hub that publishes and rotates gives no false alarm.
func TestVerifyBesideABusyHub(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			batch := []hub.Entry{hubtest.Entry(fmt.Sprint("a", i), strings.Repeat("x", i%5000)), hubtest.Entry(fmt.Sprint("b", i), "y")}
			if _, err := s.Append(t.Context(), batch); err != nil {
				t.Error(err)
				return
			}
			if i%100 == 99 {
				if _, err := s.Rotate(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 40 {
		if r := mustVerify(t, dir); len(r.Problems) > 0 {
			t.Fatalf("%+v", r.Problems)
		}
	}
	close(stop)
	<-done
}
