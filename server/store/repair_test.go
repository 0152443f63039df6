package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ctxhub/server/hub"
)

// TestRepairKeepsAllThatCanBeRead flips a bit in every 13th byte of a small hub's log, its archive included, and cuts and
// zeroes parts. After a repair the hub opens, has every entry but those of the damaged line, once and in order, and
// the files from before are aside.
func TestRepairKeepsAllThatCanBeRead(t *testing.T) {
	t.Parallel()
	good := smallHub(t)
	for _, name := range []string{archivedName(1, 3), logName} {
		text, err := os.ReadFile(filepath.Join(good, name))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(text); at += 13 {
			for what, damage := range map[string]func(b []byte) []byte{
				"flip": func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b },
				"hole": func(b []byte) []byte { clear(b[at:min(at+300, len(b))]); return b },
				"cut":  func(b []byte) []byte { return append(b[:at], b[min(at+150, len(b)):]...) },
			} {
				if what != "flip" && at%39 != 0 {
					continue
				}
				t.Run(fmt.Sprint(filepath.Base(name), what, at), func(t *testing.T) { repairOne(t, good, name, damage(bytes.Clone(text))) })
			}
		}
	}
}

func repairOne(t *testing.T, good, name string, damaged []byte) {
	dir := copyDir(t, good)
	if err := os.WriteFile(filepath.Join(dir, name), damaged, fileMode); err != nil {
		t.Fatal(err)
	}
	found := mustVerify(t, dir)
	if len(found.Problems) == 0 {
		t.Fatal("verify finds nothing")
	}
	done, err := Repair(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); len(r.Problems) > 0 || r.Entries != done.Kept || r.HubID != found.HubID {
		t.Fatalf("after the repair: %+v, kept %d", r, done.Kept)
	}
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	before := 0
	for i, e := range readAll(t, s, 0) {
		var n int
		if _, err := fmt.Sscanf(e.ID, "id-%d", &n); err != nil || n <= before || e.Sequence != uint64(i+1) {
			t.Fatalf("entry %d is %s behind id-%d", e.Sequence, e.ID, before)
		}
		if want := fmt.Sprintf("entry %d \"q\"\n", n); e.Content != want {
			t.Fatalf("%s has the content %q", e.ID, e.Content)
		}
		before = n
	}
	head, _ := s.Head()
	if head != done.Kept || found.Entries != done.Kept || head < 5 {
		t.Fatalf("%d entries, %d kept, %d found", head, done.Kept, found.Entries)
	}
	aside, err := os.ReadFile(filepath.Join(dir, done.Aside, name))
	if err != nil || !bytes.Equal(aside, damaged) {
		t.Fatalf("what was there before is not kept: %v", err)
	}
	if regions, err := filepath.Glob(filepath.Join(dir, done.Aside, "damaged-byte-*")); err != nil || len(regions) == 0 {
		t.Fatalf("the region is not kept apart: %v", err)
	}
	if p, ok := s.Authenticate(hub.HashToken("api")); !ok || p.Name != "api" {
		t.Fatal("a project is gone")
	}
}

func TestRepairOfSmallFiles(t *testing.T) {
	dir := smallHub(t)
	for _, name := range []string{metaName, projectsName, tokenName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), fileMode); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Fatal("opened")
	}
	done, err := Repair(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	if n := len(readAll(t, s, 0)); n != 8 || len(s.Projects()) != 0 {
		t.Errorf("%d entries, %d projects", n, len(s.Projects()))
	}
	if _, fresh, err := s.AdminToken(); !fresh || err != nil {
		t.Errorf("no new admin token: %v", err)
	}
	for _, name := range []string{metaName, projectsName, tokenName} {
		if text, err := os.ReadFile(filepath.Join(dir, done.Aside, name)); err != nil || string(text) != "{" {
			t.Errorf("%s is not kept: %v", name, err)
		}
	}
}

func TestRepairOfAShortLog(t *testing.T) {
	dir := smallHub(t)
	text, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if err := os.WriteFile(filepath.Join(dir, logName), bytes.Join(lines[:2], nil), fileMode); err != nil {
		t.Fatal(err)
	}
	if done, err := Repair(dir, nil); err != nil || done.Kept != 4 || len(done.Problems) != 1 || done.Problems[0].Lost != 4 {
		t.Fatalf("%+v, %v", done, err)
	}
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	if n := len(readAll(t, s, 0)); n != 4 {
		t.Errorf("%d entries", n)
	}
}

func TestRepairOfAGoodDirectoryChangesNothing(t *testing.T) {
	dir := smallHub(t)
	before := listing(t, dir)
	done, err := Repair(dir, nil)
	if err != nil || done.Aside != "" || done.Kept != 8 {
		t.Fatalf("%+v, %v", done, err)
	}
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("before %q\nafter %q", before, after)
	}
}

// listing is every file below dir with its content.
func listing(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		all = append(all, strings.TrimPrefix(name, dir)+" "+string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAFaultAtEveryStepOfARepair lets the n-th change of the disk fail for good, for every n. Whatever it leaves, the
// next repair, on a disk that is well, ends where an undisturbed one would have ended.
func TestAFaultAtEveryStepOfARepair(t *testing.T) {
	t.Parallel()
	good := smallHub(t)
	name := archivedName(1, 3)
	text, err := os.ReadFile(filepath.Join(good, name))
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	for n := 0; ; n++ {
		dir := copyDir(t, good)
		if err := os.WriteFile(filepath.Join(dir, name), text, fileMode); err != nil {
			t.Fatal(err)
		}
		f := &faulty{after: -1}
		f.arm(n, "", true)
		_, err := repair(f, dir, nil)
		if !f.broken {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err == nil {
			t.Errorf("fault at %d: the repair says nothing", n)
		}
		if _, err := Repair(dir, nil); err != nil {
			t.Errorf("fault at %d: the next repair: %v", n, err)
		}
		s := mustOpen(t, dir)
		if all := readAll(t, s, 0); len(all) != 7 {
			t.Errorf("fault at %d: %d entries", n, len(all))
		}
		mustClose(t, s)
	}
}

// TestRepairOfTwoFilesAtOnce damages a sealed file and the log behind it. What the log builds on is then written anew,
// so that none of its lines can stay as they are.
func TestRepairOfTwoFilesAtOnce(t *testing.T) {
	t.Parallel()
	good := smallHub(t)
	for i := 5; i < 678; i += 83 {
		for j := 5; j < 1200; j += 83 {
			dir := copyDir(t, good)
			for name, at := range map[string]int{archivedName(1, 3): i, logName: j} {
				flipIn(t, filepath.Join(dir, name), at)
			}
			found := mustVerify(t, dir)
			done, err := Repair(dir, nil)
			if err != nil || done.Kept != found.Entries {
				t.Fatalf("%d and %d: %+v, %v", i, j, done, err)
			}
			if r := mustVerify(t, dir); len(r.Problems) > 0 || len(r.Notes) > 0 || r.Entries != done.Kept {
				t.Fatalf("%d and %d: %+v, kept %d", i, j, r, done.Kept)
			}
			s := mustOpen(t, dir)
			if all := readAll(t, s, 0); uint64(len(all)) != done.Kept {
				t.Fatalf("%d and %d: %d entries, kept %d", i, j, len(all), done.Kept)
			}
			mustClose(t, s)
		}
	}
}

func flipIn(t *testing.T, name string, at int) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[at] ^= 1
	if err := os.WriteFile(name, text, fileMode); err != nil {
		t.Fatal(err)
	}
}

// TestEveryCutOfAnEmptyLogBehindAnArchive: what is left of a base line is found, and the repaired log goes on behind
// the archive.
func TestEveryCutOfAnEmptyLogBehindAnArchive(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, good)
	fill(t, s, 0, 4)
	mustRotate(t, s)
	mustClose(t, s)
	text, err := os.ReadFile(filepath.Join(good, logName))
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(text); cut++ {
		dir := copyDir(t, good)
		if err := os.WriteFile(filepath.Join(dir, logName), text[:cut], fileMode); err != nil {
			t.Fatal(err)
		}
		if r := mustVerify(t, dir); len(r.Problems) != 1 || r.Entries != 4 {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
		if _, err := Repair(dir, nil); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir)
		fill(t, s, 4, 5)
		if all := readAll(t, s, 0); len(all) != 5 {
			t.Fatalf("cut at %d: %d entries", cut, len(all))
		}
		mustClose(t, s)
	}
}
