package project

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Options are how a run is done.
type Options struct {
	// Progress is told how far a Sync is; it may be nil.
	Progress Progress
	// SkipMissing goes on from the oldest entry there is where those behind a mirror's cursor were taken out of
	// the hub's archive. Without it the client's error says so.
	SkipMissing bool
}

// Result is what a run did to the mirrors.
type Result struct {
	// New is how many entries this run wrote.
	New int
	// Head is the sequence up to which the hub's log was known.
	Head uint64
	// Rebuilt says, in one sentence each, what was built anew and why.
	Rebuilt []string
	// Republished is how many own entries the hub had lost and has again.
	Republished int
	// Skipped: entries up to here are no longer on the hub, and were not mirrored in time.
	Skipped uint64
	// Told says, in one sentence each, what else a person should know.
	Told []string
}

func (r *Result) join(other Result) {
	r.New += other.New
	r.Rebuilt = append(r.Rebuilt, other.Rebuilt...)
}

func (r *Result) tell(sentence string) {
	if !slices.Contains(r.Told, sentence) {
		r.Told = append(r.Told, sentence)
	}
}

// news tells whether there is something to say about a run.
func (r *Result) news() bool { return r.New > 0 || len(r.Rebuilt) > 0 || len(r.Told) > 0 }

// Sync brings the mirrors to the head that the hub's log has when their last part is asked for. Own entries that
// the hub has lost are published again. The result counts what was written also when there is an error: the next
// run goes on from there. ErrNoTypes, ErrLocked, ErrNewerState, or what the client returns.
func Sync(ctx context.Context, d *Dir, conn *Connection, c *client.Client, o Options) (Result, error) {
	var res Result
	m, err := openMirrors(d, conn, o)
	if err != nil {
		return res, err
	}
	g := gauge{tell: o.Progress}
	for range maxLegs {
		next, err := m.survey(ctx)
		if err != nil {
			return res, err
		}
		if m.goal > 0 && next.until == 0 && next.after >= m.goal && m.owed == nil {
			return res, m.unpaid.err // another process has gone the rest of the way
		}
		m.repay(ctx, c, &res)
		g.begin(ctx, c, next)
		err = m.walk(ctx, c, next, &res, &g)
		if err == nil && next.until == 0 && (m.owed == nil || m.unpaid.err != nil) {
			return res, m.unpaid.err
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
		m.goal = 0
		why, err := m.forget(ctx, restored)
		res.Rebuilt = append(res.Rebuilt, why...)
		return err
	case errors.Is(err, errMoved), errors.Is(err, client.ErrRestored): // the next stream says what has become of the log
		return nil
	}
	return err
}

// walk goes one leg.
func (m *mirrors) walk(ctx context.Context, c *client.Client, l leg, res *Result, g *gauge) error {
	b := m.batch(l)
	req := &hubv1.SyncRequest{After: l.after, Until: l.until, Types: names(l.kinds), SkipMissing: m.skip}
	for msg, err := range c.Sync(ctx, req) {
		if err == nil {
			err = m.hear(b, msg, res)
		}
		if err == nil && msg.GetHead() < l.until {
			err = &restoredError{head: msg.GetHead()}
		}
		if err != nil {
			return m.salvage(ctx, b, res, err)
		}
		res.Head = max(msg.GetHead(), l.until)
		if l.until == 0 && m.goal == 0 {
			m.goal = res.Head
		}
		g.show(b.cursor, res.Head)
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
func (m *mirrors) hear(b *batch, msg message, res *Result) error {
	if hub := msg.GetHubId(); hub != "" {
		m.hub = hub
	}
	if err := b.add(msg); err != nil {
		return err
	}
	if skipped := msg.GetSkipped(); skipped > 0 {
		res.Skipped = max(res.Skipped, skipped)
		res.tell(fmt.Sprintf("entries up to %d are no longer on the hub: those that were not mirrored before are missing from the mirrors", skipped))
	}
	return nil
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
