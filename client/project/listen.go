package project

import (
	"context"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

const (
	// Entries that come in quick succession share a write to the disk, but do not wait longer than this.
	gatherTime = 500 * time.Millisecond
	// A cursor that moves past other types' entries can be had again for the asking: it is not kept at once.
	cursorTime = 5 * time.Second
	// An idle hub is noted as heard this often.
	heardTime = time.Minute
	// moveTime is left to whatever moves the mirrors before they are surveyed again.
	moveTime = 100 * time.Millisecond
)

// Listen brings the mirrors to the head and keeps them there until ctx ends, then it returns nil. on is told
// whenever it wrote entries or built a mirror anew, and when it is level with the head for the first time.
// ErrNoTypes, ErrLocked, ErrNewerState, ErrReconnected, or what the client does not retry.
func Listen(ctx context.Context, d *Dir, conn *Connection, c *client.Client, o Options, on func(Result)) error {
	m, err := openMirrors(d, conn, o)
	if err != nil {
		return err
	}
	level := false
	for ctx.Err() == nil {
		var res Result
		next, err := m.survey(ctx)
		switch {
		case err != nil:
		case next.until > 0:
			m.repayAside(ctx, c, &res)
			err = m.walk(ctx, c, next, &res, &gauge{})
		default:
			m.repayAside(ctx, c, &res)
			err = m.follow(ctx, c, next, &level, res, on)
			res = Result{} // follow has told it
		}
		moved := err != nil
		err = m.settle(ctx, err, &res)
		if res.news() {
			on(res)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		if moved {
			pause(ctx, moveTime)
		}
	}
	return nil
}

// follow listens from where all kinds are. It ends with an error: errMoved when another process, or the
// hub, moved the ground. res has what is still to be told.
func (m *mirrors) follow(ctx context.Context, c *client.Client, l leg, level *bool, res Result, on func(Result)) error {
	b := m.batch(l)
	written := time.Now()
	req := &hubv1.ListenRequest{After: l.after, Types: names(l.kinds), SkipMissing: m.skip}
	for msg, err := range c.Listen(ctx, req) {
		if err == nil {
			err = m.hear(b, msg, &res)
		}
		if err != nil {
			return m.leave(ctx, b, res, on, err)
		}
		res.Head = msg.GetHead()
		m.repayAside(ctx, c, &res)
		first := !*level && b.cursor >= res.Head
		if !first && !b.due(res.Head, time.Since(written)) {
			continue
		}
		if err := m.flush(ctx, b, &res); err != nil {
			return err
		}
		written = time.Now()
		*level = *level || first
		m.repayAside(ctx, c, &res)
		if first || res.news() {
			on(res)
			res = Result{}
		}
	}
	return m.leave(ctx, b, res, on, errMoved) // a stream that just ends is followed again
}

// leave is salvage for a listener.
func (m *mirrors) leave(ctx context.Context, b *batch, res Result, on func(Result), cause error) error {
	err := m.salvage(ctx, b, &res, cause)
	if res.news() {
		on(res)
	}
	return err
}

// repayAside is repay for a listener, which goes on without, tells so once, and tries again later.
func (m *mirrors) repayAside(ctx context.Context, c *client.Client, res *Result) {
	before := m.unpaid.err
	m.repay(ctx, c, res)
	if err := m.unpaid.err; err != nil && before == nil && ctx.Err() == nil {
		res.tell(err.Error())
	}
}

// due tells whether a listener's batch is to be written: head is where the hub's log is, age the time since
// the last write.
func (b *batch) due(head uint64, age time.Duration) bool {
	switch {
	case len(b.entries) > 0:
		return b.cursor >= head || b.size >= flushBytes || age >= gatherTime
	case b.cursor > b.after:
		return age >= cursorTime
	}
	return age >= heardTime
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
