package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

const (
	// flushBytes of content are gathered before they are written, as each write waits for the disk.
	flushBytes = 4 << 20
	// maxLegs is far more than there are kinds, to leave room for other processes that move the mirrors.
	maxLegs = 100
)

// Progress is told how far a Sync is, in sequences. total may grow.
type Progress func(done, total uint64)

// Result is what a run did to the mirrors.
type Result struct {
	// New is how many entries this run wrote.
	New int
	// Head is the sequence up to which the hub's log was known.
	Head uint64
	// Rebuilt says, in one sentence each, what was built anew and why.
	Rebuilt []string
}

func (r *Result) join(other Result) {
	r.New += other.New
	r.Rebuilt = append(r.Rebuilt, other.Rebuilt...)
}

// Sync brings the mirrors to the head that the hub's log has when their last part is asked for. p may be
// nil. The result counts what was written also when there is an error: the next run goes on from there.
// ErrNoTypes, ErrLocked, ErrNewerState, or what the client returns.
func Sync(ctx context.Context, d *Dir, conn *Connection, c *client.Client, p Progress) (Result, error) {
	var res Result
	m, err := openMirrors(d, conn)
	if err != nil {
		return res, err
	}
	for range maxLegs {
		next, err := m.survey(ctx)
		if err != nil {
			return res, err
		}
		err = m.walk(ctx, c, next, &res, p)
		if err == nil && next.until == 0 {
			return res, nil
		}
		if err := m.settle(ctx, err, &res); err != nil {
			return res, err
		}
	}
	return res, ErrUnsettled
}

// settle deals with ground that moved under a run, after which the run surveys it again. Any other error
// is returned.
func (m *mirrors) settle(ctx context.Context, err error, res *Result) error {
	var restored *restoredError
	switch {
	case errors.As(err, &restored):
		why, err := m.forget(ctx, restored.head)
		res.Rebuilt = append(res.Rebuilt, why...)
		return err
	case errors.Is(err, errMoved):
		return nil
	}
	return err
}

// walk goes one leg.
func (m *mirrors) walk(ctx context.Context, c *client.Client, l leg, res *Result, p Progress) error {
	b := l.batch()
	req := &hubv1.SyncRequest{After: l.after, Until: l.until, Types: names(l.kinds)}
	for msg, err := range c.Sync(ctx, req) {
		if err == nil {
			err = m.hear(b, msg.GetHubId(), msg.GetCursor(), msg.GetHead(), msg.GetEntries())
		}
		if err == nil && msg.GetHead() < l.until {
			err = &restoredError{msg.GetHead()}
		}
		if err != nil {
			return m.salvage(ctx, b, res, err)
		}
		res.Head = max(msg.GetHead(), l.until)
		if p != nil {
			p(b.cursor, res.Head)
		}
		if b.size >= flushBytes {
			if err := m.flush(ctx, b, res); err != nil {
				return err
			}
		}
	}
	if b.cursor < res.Head || b.hub == "" {
		return m.salvage(ctx, b, res, fmt.Errorf("%w: it ends at %d of %d", ErrBadStream, b.cursor, res.Head))
	}
	return m.flush(ctx, b, res)
}

// hear takes a message in and remembers which hub it is from.
func (m *mirrors) hear(b *batch, hub string, cursor, head uint64, entries []*hubv1.Entry) error {
	if hub != "" {
		m.hub = hub
	}
	return b.add(hub, cursor, head, entries)
}

func (m *mirrors) flush(ctx context.Context, b *batch, res *Result) error {
	done, err := m.apply(ctx, b)
	if err != nil {
		return err
	}
	res.join(done)
	b.next()
	return nil
}

// salvage writes what had arrived when a stream broke, so that the next run need not ask for it again, and
// returns the stream's error. It also does so for a run that was interrupted, but does not wait long then.
func (m *mirrors) salvage(ctx context.Context, b *batch, res *Result, cause error) error {
	if b.cursor == b.after || errors.Is(cause, errMoved) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := m.flush(ctx, b, res); err != nil && !errors.Is(err, errMoved) {
		return fmt.Errorf("%w; what had arrived was not kept: %w", cause, err)
	}
	return cause
}
