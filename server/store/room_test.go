package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ctxhub/server/hub"
	"ctxhub/server/hub/hubtest"
)

// small is a disk with room for so many more bytes. A write that finds too little fills what there is, and fails.
type small struct {
	faulty
	mu   sync.Mutex
	room int64
}

func (d *small) give(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = bytes
}

func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// freeing runs a change after which the file holds less, or nothing.
func (d *small) freeing(name string, change func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := sizeOf(name)
	err := change()
	d.room += before - sizeOf(name)
	return err
}

func (d *small) Open(name string, flag int) (f file, err error) {
	err = d.freeing(name, func() (err error) {
		f, err = d.faulty.Open(name, flag)
		return err
	})
	return smallFile{f, d, name}, err
}

func (d *small) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := sizeOf(to)
	err := d.faulty.Rename(from, to)
	if err == nil {
		d.room += before
	}
	return err
}

func (d *small) Remove(name string) error {
	return d.freeing(name, func() error { return d.faulty.Remove(name) })
}

func (*small) SyncDir(string) error { return nil } // the subject is room

func (d *small) Free(string) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(d.room), nil
}

type smallFile struct {
	file
	d    *small
	name string
}

func (f smallFile) WriteAt(p []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	short := max(at+int64(len(p))-size-f.d.room, 0)
	n, err := f.file.WriteAt(p[:int64(len(p))-short], at)
	after, statErr := f.Size()
	f.d.room -= after - size
	if err == nil && short > 0 {
		err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	return n, errors.Join(err, statErr)
}

func (f smallFile) Truncate(size int64) error {
	return f.d.freeing(f.name, func() error { return f.file.Truncate(size) })
}

func (smallFile) Sync() error { return nil }

const endless = math.MaxInt64 / 2

func openSmall(t *testing.T, dir string, d *small, reserve uint64) *Store {
	t.Helper()
	s, err := open(dir, Options{Reserve: reserve, lookEvery: time.Millisecond}, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func awaitHealth(t *testing.T, s *Store) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.Degraded() != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there is room again, and it is still degraded: %s", s.Degraded())
		}
	}
}

// TestADiskThatIsFullAtTheNthByte runs out of room at every byte of what entries, registrations and a revocation write.
// What was refused has left nothing behind; what was acknowledged is there once, while the disk is full, after a start on
// the full disk, and after one with room, before which entries are taken again without a restart.
func TestADiskThatIsFullAtTheNthByte(t *testing.T) {
	t.Parallel()
	for room := int64(0); ; room++ {
		dir := filepath.Join(t.TempDir(), "data")
		d := &small{faulty: faulty{after: -1}, room: endless}
		s := openSmall(t, dir, d, 0)
		done := map[string]error{}
		register := func(name string) error {
			return s.Register(t.Context(), hub.Project{ID: name, Name: name, Token: hub.HashToken(name)}, hub.TokenHash{})
		}
		if err := errors.Join(appendOne(t, s, "first"), register("first")); err != nil {
			t.Fatal(err)
		}
		d.give(room)
		done["a"] = appendOne(t, s, "a")
		done["p"] = register("p")
		done["b"] = appendOne(t, s, "b")
		done["first"] = s.Revoke(t.Context(), "first", time.Now())
		refused := 0
		for what, err := range done {
			if err != nil {
				refused++
				if !errors.Is(err, hub.ErrUnavailable) || !errors.Is(err, errFull) {
					t.Fatalf("room for %d bytes: %s: %v", room, what, err)
				}
			}
		}
		check := func(s *Store, when string) {
			t.Helper()
			checkDone(t, s, done, fmt.Sprintf("room for %d bytes, %s", room, when))
		}
		check(s, "full")
		_ = s.Close() // meta.json may not be writable, which is told
		noneNew(t, dir)

		d.give(0)
		s = openSmall(t, dir, d, 0)
		check(s, "started on a full disk")
		if err := appendOne(t, s, "refused"); !errors.Is(err, errFull) {
			t.Fatalf("room for %d bytes: on the full disk: %v", room, err)
		}
		if s.Degraded() == "" {
			t.Fatal("status shows nothing")
		}
		d.give(endless)
		awaitHealth(t, s)
		if err := appendOne(t, s, "last"); err != nil {
			t.Fatalf("room for %d bytes: there is room again: %v", room, err)
		}
		mustClose(t, s)
		s = openSmall(t, dir, d, 0)
		done["last"] = nil
		check(s, "in the end")
		if len(s.Notes) > 0 {
			t.Errorf("room for %d bytes: %q", room, s.Notes)
		}
		mustClose(t, s)
		if refused == 0 {
			if room < 500 {
				t.Errorf("all of it needs %d bytes only: this shows little", room)
			}
			return
		}
	}
}

// checkDone looks for what succeeded, and for nothing else.
func checkDone(t *testing.T, s *Store, done map[string]error, when string) {
	t.Helper()
	found := map[string]int{}
	for _, e := range readAll(t, s, 0) {
		found[e.ID]++
	}
	for _, id := range []string{"first", "a", "b", "last"} {
		err, tried := done[id]
		want := 0
		if id == "first" || tried && err == nil {
			want = 1
		}
		if found[id] != want {
			t.Fatalf("%s: %s is there %d times, and its append said %v", when, id, found[id], err)
		}
	}
	if _, ok := s.Authenticate(hub.HashToken("p")); ok != (done["p"] == nil) {
		t.Fatalf("%s: registered: %v, and register said %v", when, ok, done["p"])
	}
	if _, ok := s.Authenticate(hub.HashToken("first")); ok == (done["first"] == nil) {
		t.Fatalf("%s: the token is good: %v, and revoke said %v", when, ok, done["first"])
	}
}

// noneNew: half a file would take the last room of all.
func noneNew(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*.new"))
	if err != nil || len(left) > 0 {
		t.Fatalf("left behind: %q, %v", left, err)
	}
}

// TestANewHubNeedsRoom: its identity must be on the disk before anyone is told of it.
func TestANewHubNeedsRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := open(dir, Options{}, &small{faulty: faulty{after: -1}}); !NoRoom(err) {
		t.Fatalf("opened: %v", err)
	}
	mustClose(t, mustOpen(t, dir))
}

// TestTheReserveIsKept: entries are refused while there is still room for what is not an entry.
func TestTheReserveIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := &small{faulty: faulty{after: -1}, room: endless}
	const reserve = 10_000
	s := openSmall(t, dir, d, reserve)
	d.give(reserve + 5000)
	big := []hub.Entry{hubtest.Entry("big", strings.Repeat("x", 6000))}
	if _, err := s.Append(t.Context(), big); !errors.Is(err, errReserve) || !errors.Is(err, hub.ErrUnavailable) {
		t.Fatalf("append into the reserve: %v", err)
	}
	if !strings.Contains(s.Degraded(), "reserve") {
		t.Errorf("degraded: %q", s.Degraded())
	}
	if err := s.Register(t.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken("t")}, hub.TokenHash{}); err != nil {
		t.Errorf("a registration, for which the reserve is: %v", err)
	}
	if err := appendOne(t, s, "little"); err != nil {
		t.Errorf("an entry that leaves the reserve alone: %v", err)
	}
	if _, err := s.Append(t.Context(), big); !errors.Is(err, errReserve) {
		t.Fatalf("again: %v", err)
	}
	d.give(endless)
	awaitHealth(t, s)
	if _, err := s.Append(t.Context(), big); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
}

// TestATornTailOnAFullDiskIsLeftWhereItIs: it cannot be kept aside there, so it is not cut, and nothing may be written
// over it. The hub starts all the same, for its readers.
func TestATornTailOnAFullDiskIsLeftWhereItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := &small{faulty: faulty{after: -1}, room: endless}
	s := openSmall(t, dir, d, 0)
	if err := errors.Join(appendOne(t, s, "a"), s.Close()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, logName)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	torn := append(whole, lineStart+"2,"...)
	if err := os.WriteFile(name, torn, fileMode); err != nil {
		t.Fatal(err)
	}
	d.give(0)
	s = openSmall(t, dir, d, 0)
	if all := readAll(t, s, 0); len(all) != 1 {
		t.Errorf("%d entries", len(all))
	}
	d.give(endless)
	if err := appendOne(t, s, "b"); !errors.Is(err, hub.ErrPoisoned) || !strings.Contains(s.Degraded(), "restarted") {
		t.Errorf("append: %v, degraded %q", err, s.Degraded())
	}
	mustClose(t, s)
	noneNew(t, dir)
	if now, err := os.ReadFile(name); err != nil || string(now) != string(torn) {
		t.Errorf("the log was changed: %v", err)
	}
	s = mustOpen(t, dir)
	if len(s.Notes) != 1 || appendOne(t, s, "b") != nil {
		t.Errorf("with room: %q", s.Notes)
	}
	mustClose(t, s)
}
