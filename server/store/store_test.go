package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ctxhub/server/hub"
	"ctxhub/server/hub/hubtest"
)

type node struct{ *Store }

func (n node) All(t *testing.T) []hub.Entry { return readAll(t, n.Store, 0) }

func readAll(t *testing.T, s *Store, after uint64) []hub.Entry {
	t.Helper()
	var all []hub.Entry
	for head, _ := s.Head(); after < head; {
		b, err := s.Read(after, head, AllTypes)
		if err != nil {
			t.Fatal(err)
		}
		if b.Cursor <= after {
			t.Fatalf("the cursor stays at %d, head %d", after, head)
		}
		all, after = append(all, b.Entries...), b.Cursor
	}
	return all
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoreIsAWriter(t *testing.T) {
	hubtest.TestWriter(t, func(t *testing.T) hubtest.Node {
		s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
		t.Cleanup(func() { mustClose(t, s) })
		return node{s}
	})
}

func fill(t *testing.T, s *Store, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		e := hubtest.Entry(fmt.Sprint("id-", i), fmt.Sprintf("entry %d\n%s", i, strings.Repeat("x\"\n", i%50)))
		e.Type = hub.Types[i%len(hub.Types)]
		if _, err := s.Append(t.Context(), []hub.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEverythingComesBackAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 1500) // more than the cache and a batch hold
	big := hubtest.Entry("big", strings.Repeat("\x01", hub.MaxContent))
	if _, err := s.Append(t.Context(), []hub.Entry{big}); err != nil {
		t.Fatal(err)
	}
	if err := s.Register(t.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken("t")}, hub.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	before, hubID := readAll(t, s, 0), s.HubID()
	admin, fresh, err := s.AdminToken()
	if err != nil || !fresh {
		t.Fatalf("fresh %v, %v", fresh, err)
	}
	mustClose(t, s)
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	after := readAll(t, s, 0)
	if len(before) != 1501 || len(after) != len(before) {
		t.Fatalf("%d entries before, %d after", len(before), len(after))
	}
	for i := range before {
		if before[i] != after[i] {
			t.Fatalf("entry %d was %+v, is %+v", i+1, before[i], after[i])
		}
	}
	if again, fresh, err := s.AdminToken(); again != admin || fresh || err != nil {
		t.Errorf("the admin token changed: fresh %v, %v", fresh, err)
	}
	if p, ok := s.Authenticate(hub.HashToken("t")); !ok || p.Name != "api" {
		t.Error("the project is gone")
	}
	if s.HubID() != hubID {
		t.Error("the hub's identity changed")
	}
	if got, err := s.Append(t.Context(), []hub.Entry{big}); err != nil || got[0] != 1501 {
		t.Errorf("the same id after a restart: %v, %v", got, err)
	}
	if n := s.Counts()[hub.Learning]; n != 376 {
		t.Errorf("%d learnings counted, want 376", n)
	}
}

func TestReadFromEveryCursorWithEveryFilter(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
	defer mustClose(t, s)
	const n = 1300
	fill(t, s, 0, n)
	for _, after := range []uint64{0, 1, 2, 100, 275, 276, 277, 278, 1298, 1299, 1300} {
		for _, names := range [][]string{nil, {"decision"}, {"task", "learning"}} {
			set, err := NewTypeSet(names)
			if err != nil {
				t.Fatal(err)
			}
			next := after
			for cursor := after; cursor < n; {
				b, err := s.Read(cursor, n, set)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range b.Entries {
					for next++; !set.has(hub.Types[(next-1)%4]); next++ {
					}
					if e.Sequence != next || e.Type != hub.Types[(next-1)%4] {
						t.Fatalf("after %d with %v: got %d, want %d", after, names, e.Sequence, next)
					}
				}
				cursor = b.Cursor
			}
			for next++; next <= n && !set.has(hub.Types[(next-1)%4]); next++ {
			}
			if next != n+1 {
				t.Errorf("after %d with %v: ended before %d", after, names, next)
			}
		}
	}
	if b, err := s.Read(3, 7, AllTypes); err != nil || len(b.Entries) != 4 || b.Cursor != 7 {
		t.Errorf("until 7: %d entries, cursor %d, %v", len(b.Entries), b.Cursor, err)
	}
	if _, err := s.Read(n+1, n+1, AllTypes); !errors.Is(err, hub.ErrPastHead) {
		t.Errorf("beyond the head: %v", err)
	}
	if _, err := NewTypeSet([]string{"decisions"}); !errors.Is(err, hub.ErrInvalid) {
		t.Errorf("an unknown type: %v", err)
	}
}

func TestReadersSeeEveryEntryOnceWhileOthersPublish(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
	defer mustClose(t, s)
	const publishers, each, readers = 8, 200, 6
	var wg sync.WaitGroup
	for range readers {
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
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.Append(t.Context(), []hub.Entry{hubtest.Entry(fmt.Sprintf("%d-%d", p, i), "x")}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestIDsWithOneHashAreToldApart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	mine, stranger := hubtest.Entry("mine", "1"), hubtest.Entry("stranger", "2")
	if _, err := s.Append(t.Context(), []hub.Entry{stranger}); err != nil {
		t.Fatal(err)
	}
	s.log.mu.Lock() // as if both ids had the hash of mine
	s.log.index.byHash[s.log.index.hash("mine")] = 1
	s.log.mu.Unlock()
	for _, want := range []uint64{2, 2} {
		if got, err := s.Append(t.Context(), []hub.Entry{mine}); err != nil || got[0] != want {
			t.Errorf("got %v, %v; want %d", got, err, want)
		}
	}
}

func TestASecondHubIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	if running, err := InUse(dir); !running || err != nil {
		t.Errorf("InUse %v, %v", running, err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second Open: %v", err)
	}
	mustClose(t, s)
	if running, err := InUse(dir); running || err != nil {
		t.Errorf("InUse %v, %v", running, err)
	}
	mustClose(t, mustOpen(t, dir))
}

func TestTheDataDirectoryIsItsOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	fill(t, s, 0, 3)
	if _, _, err := s.AdminToken(); err != nil {
		t.Fatal(err)
	}
	if err := s.Register(t.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken("t")}, hub.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	wantModes(t, dir)
	for _, open := range []string{dir, filepath.Join(dir, logName), filepath.Join(dir, tokenName)} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	wantModes(t, dir)
	if len(s.Notes) != 3 {
		t.Errorf("notes %q, want one for each file that was open", s.Notes)
	}
}

func wantModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fileMode
		if d.IsDir() {
			want = dirMode
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v", name, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTokensAreNotStored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir)
	token := hub.NewToken(hub.ClientTokenPrefix)
	if err := s.Register(t.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken(token)}, hub.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	text, err := os.ReadFile(filepath.Join(dir, projectsName))
	if err != nil || strings.Contains(string(text), strings.TrimPrefix(token, hub.ClientTokenPrefix)) {
		t.Errorf("projects.json has the token (%v):\n%s", err, text)
	}
}

func TestLooksDoNotTakeEachOtherForAHub(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	mustClose(t, mustOpen(t, dir))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				if running, err := InUse(dir); running || err != nil {
					t.Errorf("in use: %v, %v", running, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatAKilledProcessLeftIsRemovedFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	mustClose(t, mustOpen(t, dir))
	for _, name := range []string{PIDName, AddressName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("1"), fileMode); err != nil {
			t.Fatal(err)
		}
	}
	defer mustClose(t, mustOpen(t, dir))
	for _, name := range []string{PIDName, AddressName} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
}

// A daemon makes hub.log before the store is opened, which must not make a directory a hub's.
func TestADirectoryOfOtherThingsIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"thesis.txt", daemonLogName} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrDataDir) {
		t.Errorf("opened: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its mode changed to %v (%v)", info.Mode(), err)
	}
}

func TestAppendAfterCloseIsRefused(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
	mustClose(t, s)
	if _, err := s.Append(t.Context(), []hub.Entry{hubtest.Entry("a", "1")}); !errors.Is(err, hub.ErrClosed) {
		t.Errorf("append: %v", err)
	}
}

func TestProjectsChangedWakes(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
	defer mustClose(t, s)
	changed := s.ProjectsChanged()
	if err := s.Register(t.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken("t")}, hub.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	<-changed
	changed = s.ProjectsChanged()
	if err := s.Revoke(t.Context(), "api", time.Now()); err != nil {
		t.Fatal(err)
	}
	<-changed
}
