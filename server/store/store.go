package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"ctxhub/server/hub"
)

// Names in a data directory.
const (
	logName      = "entries.jsonl" // and archiveName
	metaName     = "meta.json"
	projectsName = "projects.json"
	tokenName    = "admin.token"
	lockName     = "hub.lock"

	daemonLogName = "hub.log"    // the command's
	lostAndFound  = "lost+found" // a file system's
)

// Names of the files that tell about the process that has a data directory open. A server writes them; Open removes
// those that a killed one left, so that nobody takes them for the new one's.
const (
	PIDName     = "hub.pid"
	AddressName = "hub.json"
)

// Reasons why a data directory is not opened.
var (
	ErrInUse   = errors.New("another hub uses this data directory")
	ErrDataDir = errors.New("not usable as a data directory")
)

// Store is an open data directory. It implements hub.Writer for a single node.
type Store struct {
	dir      string
	files    files
	lock     *flock.Flock
	log      *log
	projects *projects

	hubID string

	metaMu      sync.Mutex // guards the two below
	meta        meta
	metaWritten bool
	metaErr     atomic.Pointer[error]
	metaDone    chan struct{}
	closing     chan struct{}

	// Notes are sentences for the operator about what Open put right: files that others could read, a torn tail.
	Notes []string
}

// Options change how a data directory is kept. The zero value is good.
type Options struct {
	// Reserve is how many bytes must stay free on the disk: with fewer, entries are refused, so that the hub can
	// still write down what is not an entry.
	Reserve uint64
	// OnCommit, if set, is told of each group commit, by the goroutine that commits.
	OnCommit func(Commit)

	lookEvery time.Duration // for tests; lookEvery if 0
}

// Commit is a group of entries that were written and synced together.
type Commit struct {
	Entries, Bytes int
	Sync           time.Duration // how long the disk took to sync them
}

// Open locks, checks and opens a data directory, and makes it where there is none. The errors tell what to do:
// ErrDataDir, ErrInUse, ErrNewerFormat, ErrOlderFormat, hub.ErrDamaged.
func Open(dir string, o Options) (*Store, error) { return open(dir, o, disk{}) }

// open is Open on any disk.
func open(dir string, o Options, d files) (s *Store, err error) {
	o.lookEvery = cmp.Or(o.lookEvery, lookEvery)
	notes, err := prepareDir(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s, err = nil, errors.Join(err, lock.Unlock())
		}
	}()
	for _, stale := range []string{PIDName, AddressName} {
		if err := os.Remove(filepath.Join(dir, stale)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
		}
	}
	s = &Store{dir: dir, files: d, lock: lock, Notes: notes, metaDone: make(chan struct{}), closing: make(chan struct{})}
	for _, step := range []func(files, string) ([]string, error){finishSwap, upgrade} {
		notes, err := step(d, dir)
		if err != nil {
			return nil, err
		}
		s.Notes = append(s.Notes, notes...)
	}
	m, known, err := readMeta(dir)
	if err != nil {
		return nil, err
	}
	s.meta, s.hubID = m, m.HubID
	if s.projects, err = openProjects(d, filepath.Join(dir, projectsName)); err != nil {
		return nil, err
	}
	if s.log, notes, err = openLog(d, dir, o, known); err != nil {
		return nil, err
	}
	s.Notes = append(s.Notes, notes...)
	if err = errors.Join(s.startMeta(), d.SyncDir(dir)); err != nil {
		s.log.stop()
		return nil, errors.Join(err, s.log.closeFiles())
	}
	go s.keepMeta()
	return s, nil
}

// lockDir makes this process the one that works on a data directory.
func lockDir(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, lockName), flock.SetPermissions(fileMode))
	// A look by InUse holds the lock for a moment, which must not pass for another hub.
	patience, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	locked, err := lock.TryLockContext(patience, 20*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	return lock, nil
}

// prepareDir makes the directory, or closes one that is a hub's already to everyone but its owner. One that
// holds anything else is refused, for closing it might lock others out of their own.
func prepareDir(dir string) (notes []string, err error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	ours, others := false, false
	for _, n := range names {
		switch n.Name() {
		case metaName, logName, lockName, archiveName, oldClientsName:
			ours = true
		case daemonLogName, lostAndFound: // what a daemon writes before it opens the store, and a fresh file system has
		default:
			others = true
		}
	}
	if others && !ours {
		return nil, fmt.Errorf("%w: %s has files in it, but none of a hub", ErrDataDir, dir)
	}
	return closeAll(dir)
}

// closeAll closes a directory and all that is in it to everyone but its owner.
func closeAll(dir string) (notes []string, err error) {
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		mode := fileMode
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == lostAndFound:
			return fs.SkipDir
		case entry.IsDir():
			mode = dirMode
		case !entry.Type().IsRegular():
			return nil
		}
		closed, err := closeToOthers(name, mode)
		if closed != "" {
			notes = append(notes, closed)
		}
		return err
	})
	return notes, err
}

// makeDir makes dir and what it lies in, and makes their names durable.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// Head returns the last durable sequence and a channel that is closed when there is a later one.
func (s *Store) Head() (uint64, <-chan struct{}) { return s.log.mark.now() }

// Read returns entries behind the cursor after, up to and including until, that are of the types. It never waits
// and holds no lock while its caller works. hub.ErrPastHead if after is beyond the log.
func (s *Store) Read(after, until uint64, types TypeSet) (Batch, error) {
	if head, _ := s.Head(); after > head {
		return Batch{}, hub.Refuse(hub.ErrPastHead, "the cursor %d is beyond the last entry, %d: this reader and this hub do not belong together", after, head)
	}
	if oldest := s.Oldest(); after+1 < oldest {
		return Batch{}, hub.Refuse(hub.ErrArchived, "entries up to %d were taken out of this hub's archive, and the reader is at %d: have them put back, or go on without them", oldest-1, after)
	}
	return s.log.read(after, until, types)
}

// Oldest is the sequence of the oldest entry that can be read: 1, unless archives were taken away.
func (s *Store) Oldest() uint64 { return s.log.index.base + 1 } // the base never changes

// LogBytes is the size of the log, the archive included.
func (s *Store) LogBytes() uint64 {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	var total int64
	for _, segment := range s.log.segments {
		total += segment.size
	}
	return uint64(total)
}

// Append implements hub.Writer.
func (s *Store) Append(ctx context.Context, entries []hub.Entry) ([]uint64, error) {
	return s.log.append(ctx, entries)
}

// Alive returns when the committer has taken a call and answered it, which takes as long as the commit under way. A
// hub whose disk refuses entries is alive: it has readers.
func (s *Store) Alive(ctx context.Context) error {
	_, err := s.log.append(ctx, nil)
	if errors.Is(err, hub.ErrPoisoned) {
		return nil
	}
	return err
}

// HubID is the hub's identity, made with its data directory.
func (s *Store) HubID() string { return s.hubID }

// Dir is the data directory.
func (s *Store) Dir() string { return s.dir }

// Counts returns the number of entries of each type.
func (s *Store) Counts() map[hub.Type]uint64 {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	return maps.Clone(s.log.index.byType)
}

// Degraded says in words why entries are refused, or meta.json is not kept; it is empty in health.
func (s *Store) Degraded() string {
	if t := s.log.trouble.Load(); t != nil {
		if t.final {
			return fmt.Sprintf("takes no entries until it is restarted: %v", withoutPath(t.err))
		}
		return fmt.Sprintf("the last entry could not be stored: %v", withoutPath(t.err))
	}
	if err := s.metaErr.Load(); err != nil {
		return fmt.Sprintf("meta.json cannot be written: %v", withoutPath(*err))
	}
	return ""
}

// Close commits what was taken, records how far the log is durable, and lets the directory go.
func (s *Store) Close() error {
	close(s.closing)
	<-s.metaDone
	s.log.stop()
	return errors.Join(s.writeMeta(), s.log.closeFiles(), s.lock.Unlock())
}

// AdminToken returns the admin's token and makes it on the first run, which fresh tells.
func (s *Store) AdminToken() (token string, fresh bool, err error) {
	token, err = ReadAdminToken(s.dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, false, err
	}
	token = hub.NewToken(hub.AdminTokenPrefix)
	return token, true, writeWhole(s.files, filepath.Join(s.dir, tokenName), []byte(token+"\n"))
}

// InUse says whether a process has the data directory open.
func InUse(dir string) (bool, error) {
	name := filepath.Join(dir, lockName)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(name, flock.SetPermissions(fileMode))
	free, err := lock.TryRLock() // shared, so that two who look do not take each other for a hub
	if err != nil || !free {
		return !free, err
	}
	return false, lock.Unlock()
}
