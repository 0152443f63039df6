package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ctxhub/server/hub"
	"ctxhub/server/store"
)

// place is an open stream, as others see it. Nothing is ever sent to a stream through it.
type place struct {
	follow bool          // a Listen
	cursor atomic.Uint64 // how far it has read
}

// openStreams are all there are, and how many there may be.
type openStreams struct {
	total, perProject int

	mu   sync.Mutex
	open map[*place]struct{}
	by   map[string]int
}

// enter takes a place; leave gives it back. errStreams or errProjectStreams beyond the limits.
func (l *openStreams) enter(project string, p *place) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.total {
		return nil, hub.Refuse(errStreams, "the hub has %d streams open, which is its limit: try again in %s seconds", len(l.open), retryAfter)
	}
	if l.by[project] >= l.perProject {
		return nil, hub.Refuse(errProjectStreams, "project %q has %d streams open, which is its limit: close one, or try again in %s seconds",
			project, l.by[project], retryAfter)
	}
	l.open[p] = struct{}{}
	l.by[project]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, p)
		if l.by[project]--; l.by[project] == 0 {
			delete(l.by, project)
		}
	}, nil
}

// lags are how far each Listen is behind the head. Syncs are only counted: they begin behind and end by themselves.
func (l *openStreams) lags(head uint64) (lags []uint64, syncs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lags = make([]uint64, 0, len(l.open))
	for p := range l.open {
		if p.follow {
			lags = append(lags, head-min(p.cursor.Load(), head))
		} else {
			syncs++
		}
	}
	return lags, syncs
}

// reader walks the log for one stream. Sync and Listen are the same walk; one ends, the other waits.
type reader struct {
	hub    *hubService
	caller caller
	after  uint64
	until  uint64 // where it ends, which in an empty log is 0
	follow bool   // it does not end
	skip   bool   // it may begin at the oldest entry there is
	types  store.TypeSet
	send   func(m message) error
	ahead  chan readResult // what readAhead has begun; nil if nothing
	place  *place          // where others see how far it is
	sum    string          // at the cursor that the caller was told last
}

// message is what Sync and Listen send alike.
type message struct {
	store.Batch
	head    uint64
	skipped uint64 // entries up to here were no longer there; in the first message only
}

type readResult struct {
	batch store.Batch
	err   error
}

// next is the batch behind r.after.
func (r *reader) next(end uint64) (store.Batch, error) {
	if r.ahead == nil {
		return r.hub.store.Read(r.after, end, r.types)
	}
	result := <-r.ahead
	r.ahead = nil
	return result.batch, result.err
}

// readAhead reads and checks the next batch while this one is encoded and sent: catching up, each takes about as
// long as the other.
func (r *reader) readAhead(end uint64) {
	ahead, after := make(chan readResult, 1), r.after
	go func() {
		batch, err := r.hub.store.Read(after, end, r.types)
		ahead <- readResult{batch, err}
	}()
	r.ahead = ahead
}

// run sends batches until it is done, the caller leaves, its token is revoked, or the hub drains. Its first
// message goes at once, since the headers leave with it, and no silence is longer than the heartbeat.
func (r *reader) run(ctx context.Context) error {
	heartbeat := time.NewTicker(r.hub.heartbeat)
	defer heartbeat.Stop()
	skipped := r.skipMissing()
	for first, due := true, true; ; first = false {
		changed := r.hub.store.ProjectsChanged()
		if err := r.mayGoOn(ctx); err != nil {
			return err
		}
		end, moved := r.hub.store.Head()
		if !r.follow {
			end = r.until
		}
		batch, err := r.next(end)
		if err != nil {
			return err
		}
		r.after = batch.Cursor
		if first {
			r.sum = batch.AfterSum
		}
		level := r.after >= end
		if !level {
			r.readAhead(end)
		}
		done := level && !r.follow
		if len(batch.Entries) > 0 || due || done {
			batch.AfterSum = r.sum // what was passed over in between was not sent
			if err := r.send(message{batch, end, skipped}); err != nil {
				return err
			}
			r.sum, due, skipped = batch.Sum, false, 0
		}
		r.place.cursor.Store(r.after)
		if done {
			return nil
		}
		if !level {
			moved = closed // there is more to read: only look whether a heartbeat is due
		}
		select {
		case <-heartbeat.C:
			due = true
		case <-moved:
		case <-changed:
		case <-r.hub.draining:
		case <-ctx.Done():
		}
	}
}

// skipMissing moves a reader that asks for it to the oldest entry there is, and returns where it begins then.
func (r *reader) skipMissing() (skipped uint64) {
	if before := r.hub.store.Oldest() - 1; r.skip && r.after < before {
		r.after = before
		return before
	}
	return 0
}

var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (r *reader) mayGoOn(ctx context.Context) error {
	return mayGoOn(ctx, r.hub.auth, r.caller, r.hub.draining)
}

// mayGoOn says why a stream must end: its token is no longer good, the hub drains, or the caller has left.
func mayGoOn(ctx context.Context, a *auth, c caller, draining <-chan struct{}) error {
	if !a.good(c) {
		return errUnauthenticated
	}
	select {
	case <-draining:
		return errDraining
	default:
		return ctx.Err()
	}
}
