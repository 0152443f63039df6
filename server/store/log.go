package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ctxhub/server/hub"
)

// Bounds of one group commit. It closes at the call that crosses them; with one call of the largest batch, fully
// escaped, a group stays below maxGroupBytes, which is how long a torn tail can be.
const (
	groupEntries  = 4096
	groupBytes    = 8 << 20
	maxGroupBytes = 64 << 20
	enoughEntries = 32 // to be worth a sync: with fewer, gather yields up to maxYields times
	maxYields     = 16
)

// log is entries.jsonl and what was sealed of it: appended to by one goroutine, read by anyone.
type log struct {
	files   files
	options Options
	dir     string
	mark    *watermark

	calls   chan *call
	seals   chan *seal
	closing chan struct{}
	done    chan struct{}
	trouble atomic.Pointer[trouble] // nil while entries are taken

	mu       sync.RWMutex // guards what follows; the committer alone changes it, and last of all its work
	index    *index
	segments []*segment // the last one is appended to, and ends at the watermark
	recent   recent

	prior   sum    // the committer's: the last line's sum
	buf     []byte // the committer's
	refused int    // the committer's: bytes of the write that failed last
}

// trouble is why the last write failed. After a failed sync it is for good: the kernel may have dropped the
// pages and report success the next time.
type trouble struct {
	err   error
	final bool
}

// call is one Append waiting for its commit.
type call struct {
	entries   []prepared
	sequences []uint64
	err       error
	done      chan struct{}
}

// openLog reads and checks the whole log, cuts a torn tail, and starts to take entries. The notes say what was cut,
// and which files of the archive are of no use.
func openLog(d files, dir string, o Options, known claim) (*log, []string, error) {
	l := &log{
		files: d, options: o, dir: dir,
		calls: make(chan *call), seals: make(chan *seal), closing: make(chan struct{}), done: make(chan struct{}),
	}
	notes, err := l.recover(known)
	if err != nil {
		return nil, nil, errors.Join(err, l.closeFiles())
	}
	l.mark = newWatermark(l.index.head())
	go l.run()
	return l, notes, nil
}

// append makes entries durable, all or none. See hub.Writer.
func (l *log) append(ctx context.Context, entries []hub.Entry) ([]uint64, error) {
	c := &call{entries: prepare(entries), sequences: make([]uint64, len(entries)), done: make(chan struct{})}
	select {
	case l.calls <- c:
	case <-l.closing:
		return nil, hub.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-c.done:
		return c.sequences, c.err
	case <-ctx.Done(): // the outcome is unknown to this caller; its ids make asking again harmless
		return nil, ctx.Err()
	}
}

// run is the committer. What waits while one group is synced becomes the next, so that no timer is needed.
func (l *log) run() {
	defer close(l.done)
	tick := time.NewTicker(l.options.lookEvery)
	defer tick.Stop()
	for {
		select {
		case first := <-l.calls:
			calls := l.gather(first)
			l.commit(calls)
			for _, c := range calls {
				close(c.done)
			}
		case r := <-l.seals:
			l.seal(r)
			close(r.done)
		case <-tick.C:
			l.look()
		case <-l.closing:
			return
		}
	}
}

// gather takes every call that waits. It then lets the goroutines run that are ready to, among which are handlers
// that hold the next requests: under load that makes groups larger and syncs, which cost processor time too,
// fewer; without load there is nothing to run, and it costs nothing.
func (l *log) gather(first *call) []*call {
	calls := []*call{first}
	entries, bytes, yields := 0, 0, 0
	for {
		last := calls[len(calls)-1]
		entries += len(last.entries)
		for i := range last.entries {
			bytes += last.entries[i].size()
		}
		if entries >= groupEntries || bytes >= groupBytes {
			return calls
		}
		next := l.poll()
		for ; next == nil && entries < enoughEntries && yields < maxYields; yields++ {
			runtime.Gosched()
			next = l.poll()
		}
		if next == nil {
			return calls
		}
		calls = append(calls, next)
	}
}

func (l *log) poll() *call {
	select {
	case c := <-l.calls:
		return c
	default:
		return nil
	}
}

// commit writes, syncs, extends the index and moves the watermark, in this order.
func (l *log) commit(calls []*call) {
	if t := l.trouble.Load(); t != nil && t.final {
		failAll(calls, fmt.Errorf("%w: %w", hub.ErrPoisoned, withoutPath(t.err)))
		return
	}
	fresh := l.place(calls)
	if len(fresh) == 0 {
		return
	}
	active, first := l.active(), l.index.head()+1
	g := group{first, first + uint64(len(fresh)) - 1}
	offsets, sums := make([]int64, len(fresh)), make([]sum, len(fresh))
	buf, prior := l.buf[:0], l.prior
	for i, p := range fresh {
		offsets[i] = active.size + int64(len(buf))
		p.entry.Sequence = first + uint64(i)
		buf, prior = appendLine(buf, p, p.entry.Sequence, g, prior)
		sums[i] = prior
	}
	if cap(buf) <= groupBytes {
		l.buf = buf
	}
	took, err := l.write(buf)
	if err != nil {
		l.refused = len(buf)
		failAll(calls, err)
		return
	}
	l.trouble.Store(nil)
	l.prior = prior
	crc := crc32.Update(active.crc, castagnoli, buf)
	l.mu.Lock()
	for i, p := range fresh {
		l.index.add(offsets[i], p.entry.ID, p.entry.Type)
		l.recent.add(p.entry, sums[i])
	}
	active.size += int64(len(buf))
	active.head, active.crc = g.last, crc
	l.mu.Unlock()
	l.mark.advance(g.last)
	if l.options.OnCommit != nil {
		l.options.OnCommit(Commit{Entries: len(fresh), Bytes: len(buf), Sync: took})
	}
}

// write puts buf behind the log and syncs it, and returns how long the sync took. A write that fails is taken back,
// so that the next may succeed (a full disk is made room on); where that fails too, or the sync did, the log is
// poisoned.
func (l *log) write(buf []byte) (time.Duration, error) {
	if err := l.mayGrow(len(buf)); err != nil {
		l.trouble.Store(&trouble{err, false})
		return 0, fmt.Errorf("%w: %w", hub.ErrUnavailable, err)
	}
	active := l.active()
	if _, err := active.file.WriteAt(buf, active.size); err != nil {
		if undo := active.file.Truncate(active.size); undo != nil {
			l.trouble.Store(&trouble{errors.Join(err, undo), true})
			return 0, fmt.Errorf("%w: %w", hub.ErrPoisoned, withoutPath(err))
		}
		l.trouble.Store(&trouble{err, false})
		return 0, fmt.Errorf("%w: %w", hub.ErrUnavailable, withoutPath(err))
	}
	begin := time.Now()
	if err := active.file.Sync(); err != nil {
		// What was written may never reach the disk, though the kernel now calls it clean. Left behind the log, a
		// restart would read it from memory and take it for durable.
		err = errors.Join(err, active.file.Truncate(active.size))
		l.trouble.Store(&trouble{err, true})
		return 0, fmt.Errorf("%w: %w", hub.ErrPoisoned, withoutPath(err))
	}
	return time.Since(begin), nil
}

// errReserve is a disk that is not full yet, but nearly.
var errReserve = errors.New("the hub's disk is nearly full")

// mayGrow keeps the reserve. An asking that fails is no reason to refuse: the write itself will tell.
func (l *log) mayGrow(bytes int) error {
	if l.options.Reserve == 0 {
		return nil
	}
	free, err := l.files.Free(l.dir)
	if err == nil && free < l.options.Reserve+uint64(bytes) { //nolint:gosec // a length
		return fmt.Errorf("%w: %d MiB are free, and %d MiB are kept in reserve", errReserve, free>>20, l.options.Reserve>>20)
	}
	return nil
}

// withoutPath is what is said of an error to a publisher, whose business the hub's directories are not.
func withoutPath(err error) error {
	if p := new(fs.PathError); errors.As(err, &p) {
		return inWords(p.Err)
	}
	if l := new(os.LinkError); errors.As(err, &l) {
		return inWords(l.Err)
	}
	return inWords(err)
}

func failAll(calls []*call, err error) {
	for _, c := range calls {
		if c.err == nil {
			c.err = err
		}
	}
}

// place numbers the entries of all calls and returns those that are new, in order. A call with a taken id gets
// its error and adds nothing.
func (l *log) place(calls []*call) []*prepared {
	var fresh []*prepared
	placed := make(map[string]int, len(calls)) // id → place in fresh
	for _, c := range calls {
		before := len(fresh)
		for i := range c.entries {
			p := &c.entries[i]
			sequence, err := l.find(&p.entry)
			if at, ok := placed[p.entry.ID]; ok {
				sequence, err = l.index.head()+1+uint64(at), sameOrTaken(&fresh[at].entry, &p.entry) //nolint:gosec // a place in fresh
			}
			if err != nil {
				c.err = err
				break
			}
			if sequence == 0 {
				placed[p.entry.ID] = len(fresh)
				fresh = append(fresh, p)
				sequence = l.index.head() + uint64(len(fresh))
			}
			c.sequences[i] = sequence
		}
		if c.err != nil {
			for _, p := range fresh[before:] {
				delete(placed, p.entry.ID)
			}
			fresh = fresh[:before]
		}
	}
	return fresh
}

// find returns the sequence of an entry that is stored already, 0 if it is not.
func (l *log) find(e *hub.Entry) (uint64, error) {
	for _, sequence := range l.index.candidates(e.ID) {
		if sequence == 0 {
			continue
		}
		stored, err := l.read(sequence-1, sequence, AllTypes)
		if err != nil {
			return 0, err
		}
		if stored.Entries[0].ID == e.ID {
			return sequence, sameOrTaken(&stored.Entries[0], e)
		}
	}
	return 0, nil
}

func sameOrTaken(stored, e *hub.Entry) error {
	if stored.Same(e) {
		return nil
	}
	return hub.Refuse(hub.ErrIDTaken, "the id %s is already used for another entry", e.ID)
}

// stop finishes the commit under way and takes no more.
func (l *log) stop() {
	close(l.closing)
	<-l.done
}

func (l *log) closeFiles() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}
