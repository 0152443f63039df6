package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ctxhub/server/hub"
	"ctxhub/server/hub/hubtest"
)

var errFault = errors.New("fault made by the test")

// faulty is a disk whose n-th change fails; a failing write has written half. From then on, if it stays broken,
// every change does. It is quiet until it is armed.
type faulty struct {
	disk
	mu     sync.Mutex
	after  int // changes until the fault; negative: none
	broken bool
	only   string // kind of change that counts; empty: all
	stays  bool

	held    <-chan struct{} // the next sync waits for it
	reached chan struct{}
}

// hold makes the next sync wait until held is closed; the channel it returns is closed when it has come.
func (f *faulty) hold(held <-chan struct{}) (reached <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.reached = held, make(chan struct{})
	return f.reached
}

func (f *faulty) wait() {
	f.mu.Lock()
	held, reached := f.held, f.reached
	f.held = nil
	f.mu.Unlock()
	if held != nil {
		close(reached)
		<-held
	}
}

func (f *faulty) arm(after int, only string, stays bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.only, f.stays, f.broken = after, only, stays, false
}

func (f *faulty) change(kind string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken && f.stays {
		return errFault
	}
	if f.after < 0 || f.only != "" && f.only != kind {
		return nil
	}
	f.after--
	if f.after < 0 {
		f.broken = true
		return errFault
	}
	return nil
}

func (f *faulty) Open(name string, flag int) (file, error) {
	if flag&os.O_TRUNC != 0 {
		if err := f.change("create"); err != nil {
			return nil, err
		}
	}
	inner, err := f.disk.Open(name, flag)
	return faultyFile{inner, f}, err
}

func (f *faulty) Rename(from, to string) error {
	if err := f.change("rename"); err != nil {
		return err
	}
	return f.disk.Rename(from, to)
}

func (f *faulty) Remove(name string) error {
	if err := f.change("remove"); err != nil {
		return err
	}
	return f.disk.Remove(name)
}

func (f *faulty) SyncDir(dir string) error {
	if err := f.change("syncdir"); err != nil {
		return err
	}
	return f.disk.SyncDir(dir)
}

type faultyFile struct {
	file
	f *faulty
}

func (f faultyFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.f.change("write"); err != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], at)
		return n, err
	}
	return f.file.WriteAt(p, at)
}

func (f faultyFile) Truncate(size int64) error {
	if err := f.f.change("truncate"); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f faultyFile) Sync() error {
	f.f.wait()
	if err := f.f.change("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func openFaulty(t *testing.T) (*Store, *faulty, string) {
	t.Helper()
	dir, f := filepath.Join(t.TempDir(), "data"), &faulty{after: -1}
	s, err := open(dir, Options{}, f)
	if err != nil {
		t.Fatal(err)
	}
	return s, f, dir
}

func appendOne(t *testing.T, s *Store, id string) error {
	t.Helper()
	_, err := s.Append(t.Context(), []hub.Entry{hubtest.Entry(id, id)})
	return err
}

func TestAFailedWriteIsTakenBackAndTheNextSucceeds(t *testing.T) {
	s, f, dir := openFaulty(t)
	if err := appendOne(t, s, "a"); err != nil {
		t.Fatal(err)
	}
	f.arm(0, "write", false)
	if err := appendOne(t, s, "refused"); !errors.Is(err, hub.ErrUnavailable) {
		t.Fatalf("append on a full disk: %v", err)
	}
	if s.Degraded() == "" {
		t.Error("status shows nothing")
	}
	if n := len(readAll(t, s, 0)); n != 1 {
		t.Errorf("%d entries readable, want 1", n)
	}
	if err := appendOne(t, s, "b"); err != nil {
		t.Fatalf("append after there is room: %v", err)
	}
	if why := s.Degraded(); why != "" {
		t.Errorf("still degraded: %s", why)
	}
	mustClose(t, s)
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	if all := readAll(t, s, 0); len(all) != 2 || all[1].ID != "b" || len(s.Notes) != 0 {
		t.Errorf("after a restart: %+v, notes %q", all, s.Notes)
	}
}

func TestAFailedSyncPoisons(t *testing.T) {
	for _, kind := range []string{"sync", "truncate"} {
		t.Run(kind, func(t *testing.T) {
			s, f, dir := openFaulty(t)
			if err := appendOne(t, s, "a"); err != nil {
				t.Fatal(err)
			}
			if kind == "truncate" { // the write fails, and so does taking it back
				f.arm(0, "write", true)
			} else {
				f.arm(0, kind, false)
			}
			if err := appendOne(t, s, "b"); !errors.Is(err, hub.ErrPoisoned) {
				t.Fatalf("append: %v", err)
			}
			f.arm(-1, "", false)
			if err := appendOne(t, s, "c"); !errors.Is(err, hub.ErrPoisoned) {
				t.Errorf("the disk is well again, but the log must not trust it: %v", err)
			}
			if n := len(readAll(t, s, 0)); n != 1 || s.Degraded() == "" {
				t.Errorf("%d entries readable, degraded %q", n, s.Degraded())
			}
			mustClose(t, s)
			s = mustOpen(t, dir)
			defer mustClose(t, s)
			if err := appendOne(t, s, "c"); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			all := readAll(t, s, 0)
			if all[0].ID != "a" || all[len(all)-1].ID != "c" {
				t.Errorf("after a restart: %+v", all)
			}
			if kind == "sync" && len(all) != 2 {
				t.Errorf("what a failed sync may have dropped is taken for durable: %+v", all)
			}
		})
	}
}

// TestAFaultAtEveryStepLosesNothingAcknowledged lets the n-th change of the disk fail, for every n, while entries,
// projects and revocations are written, and looks at what a restart finds.
func TestAFaultAtEveryStepLosesNothingAcknowledged(t *testing.T) {
	for _, stays := range []bool{false, true} {
		for n := 0; ; n++ {
			s, f, dir := openFaulty(t)
			f.arm(n, "", stays)
			var acked []string
			var registered []string
			for i := range 4 {
				if id := fmt.Sprint("e", i); appendOne(t, s, id) == nil {
					acked = append(acked, id)
				}
				name := fmt.Sprint("p", i)
				if s.Register(t.Context(), hub.Project{ID: name, Name: name, Token: hub.HashToken(name)}, hub.TokenHash{}) == nil {
					registered = append(registered, name)
				}
			}
			fired := f.broken
			_ = s.Close() // the disk may be broken; what counts is what it holds
			s = mustOpen(t, dir)
			found := map[string]int{}
			for _, e := range readAll(t, s, 0) {
				found[e.ID]++
			}
			for _, id := range acked {
				if found[id] != 1 {
					t.Errorf("fault at %d: acknowledged %s is there %d times", n, id, found[id])
				}
			}
			for _, name := range registered {
				if _, ok := s.Authenticate(hub.HashToken(name)); !ok {
					t.Errorf("fault at %d: registered %s is gone", n, name)
				}
			}
			mustClose(t, s)
			if !fired {
				break
			}
		}
	}
}

// TestASlowDiskHoldsUpNoReader: tokens are checked and the hub's identity is told on every call, also while a
// registration or meta.json waits for the disk.
func TestASlowDiskHoldsUpNoReader(t *testing.T) {
	s, f, _ := openFaulty(t)
	defer mustClose(t, s)
	if err := s.Register(t.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken("t")}, hub.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	reached := f.hold(held)
	done := make(chan error, 1)
	go func() {
		done <- s.Register(t.Context(), hub.Project{ID: "2", Name: "web", Token: hub.HashToken("u")}, hub.TokenHash{})
	}()
	<-reached
	if _, ok := s.Authenticate(hub.HashToken("t")); !ok {
		t.Error("a good token is refused")
	}
	_, _, _ = s.ProjectsChanged(), s.Projects(), s.HubID()
	close(held)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
