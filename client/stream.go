package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// errStopped is the end of a stream whose consumer has left the loop.
var errStopped = errors.New("the consumer has had enough")

// errSilent is why a stream was ended by its watchdog.
var errSilent = errors.New("the stream is silent")

// Sync reads what is in the log now, in batches, and ends. A cut stream is resumed after the last message
// handed over, up to the head of the first answer, for as long as Config.RetryFor lasts without a message.
// The last pair has the error, if there is one: ErrRestored if the log has become another one meanwhile. The
// request is not changed.
func (c *Client) Sync(ctx context.Context, req *hubv1.SyncRequest) iter.Seq2[*hubv1.SyncResponse, error] {
	return func(yield func(*hubv1.SyncResponse, error) bool) {
		ctx, stop := c.join(ctx)
		defer stop()
		next := &hubv1.SyncRequest{
			After: req.GetAfter(), Types: req.GetTypes(), Until: req.GetUntil(), SkipMissing: req.GetSkipMissing(),
		}
		var past chain
		tries := attempts{c: c, since: time.Now()}
		for {
			e := c.pick()
			open := func(ctx context.Context) (*connect.ServerStreamForClient[hubv1.SyncResponse], error) {
				return e.hub.Sync(ctx, next)
			}
			past.resume()
			err := follow(ctx, e, c.streamTimeout, open, func(m *hubv1.SyncResponse) bool {
				if !past.goesOn(e, m) {
					return false
				}
				tries.progress()
				tries.worked = true
				// The request was sent whole before the first answer, so that next is free again.
				if next.GetUntil() == 0 {
					next.Until = m.GetHead()
				}
				next.After = m.GetCursor()
				return yield(m, nil)
			})
			if past.broken != nil {
				yield(nil, past.broken)
				return
			}
			if err == nil || errors.Is(err, errStopped) {
				return
			}
			if _, lost := asFault(err); lost && tries.worked && next.GetAfter() >= next.GetUntil() {
				return // only the goodbye was lost
			}
			if err := tries.next(ctx, e, err); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Listen replays the log and then follows it, for as long as ctx lives. It reconnects by itself, after the
// last message handed over, and ends only with ctx or with an error that another attempt cannot change;
// that one is in the last pair; ErrRestored is one. Until a stream has worked once, a server that is not a hub, or TLS that
// cannot be agreed on, is such an error too. Messages without entries are heartbeats. The loop's body may
// take its time. The request is not changed.
func (c *Client) Listen(ctx context.Context, req *hubv1.ListenRequest) iter.Seq2[*hubv1.ListenResponse, error] {
	return func(yield func(*hubv1.ListenResponse, error) bool) {
		ctx, stop := c.join(ctx)
		defer stop()
		next := &hubv1.ListenRequest{After: req.GetAfter(), Types: req.GetTypes(), SkipMissing: req.GetSkipMissing()}
		var past chain
		tries := attempts{c: c, endless: true}
		for {
			e := c.pick()
			open := func(ctx context.Context) (*connect.ServerStreamForClient[hubv1.ListenResponse], error) {
				return e.hub.Listen(ctx, next)
			}
			past.resume()
			greeted, lost := false, tries.failed > 0
			err := follow(ctx, e, c.streamTimeout, open, func(m *hubv1.ListenResponse) bool {
				if !past.goesOn(e, m) {
					return false
				}
				// A first heartbeat alone is no progress: a hub that greets and hangs up must not be
				// called again and again without backoff.
				if greeted || m.GetCursor() > next.After {
					tries.progress()
				}
				if !greeted && lost {
					c.onRecover()
				}
				greeted, tries.worked = true, true
				next.After = m.GetCursor()
				return yield(m, nil)
			})
			if past.broken != nil {
				yield(nil, past.broken)
				return
			}
			if errors.Is(err, errStopped) {
				return
			}
			if err == nil {
				err = newFault(connect.CodeUnavailable, ErrConnectionLost, "the hub at %s has ended the stream", e.address)
			}
			if err := tries.next(ctx, e, err); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// follow opens one stream and hands over its messages until it ends or handle returns false. No more than
// silence may pass in waiting for a message; the time that handle takes does not count.
func follow[Res any](ctx context.Context, e *endpoint, silence time.Duration,
	open func(context.Context) (*connect.ServerStreamForClient[Res], error), handle func(*Res) bool,
) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()

	stream, err := open(watched)
	if err == nil {
		// The error of closing what has been read to its end, or is not wanted, tells nothing.
		defer func() { cancel(nil); _ = stream.Close() }()
		for stream.Receive() {
			watchdog.Stop()
			if !handle(stream.Msg()) {
				return errStopped
			}
			watchdog.Reset(silence)
		}
		err = stream.Err()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return contextError(ctx)
	case errors.Is(context.Cause(watched), errSilent):
		return e.silent(ctx, silence)
	}
	return e.explain(err)
}
