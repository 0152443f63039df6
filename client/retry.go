package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"connectrpc.com/connect"
)

// pace is how waits between attempts grow.
type pace struct{ first, max time.Duration }

// verdict is what to do about a failed attempt.
type verdict int

const (
	giveUp    verdict = iota
	elsewhere         // hopeless at this address, perhaps not at another
	again             // later, here or elsewhere
)

// judge says what to do about the error of one attempt of a call or Sync, and how long the hub asked to wait.
func judge(err error) (verdict, time.Duration) {
	if f, ok := asFault(err); ok {
		switch {
		case errors.Is(f, ErrTooLarge):
			return giveUp, 0
		case errors.Is(f, ErrNotAHub), errors.Is(f, ErrCertificate),
			errors.Is(f, ErrServerWantsTLS), errors.Is(f, ErrServerIsPlaintext):
			return elsewhere, 0
		}
		return again, 0
	}
	after, asked := retryAfter(err)
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable:
		return again, after
	case connect.CodeResourceExhausted:
		if asked {
			return again, after
		}
	}
	return giveUp, 0
}

// judgeListen is judge for a stream that lives on: all but what can never get better is tried again. Once
// it has worked, a server in the hub's place or a full hub are things that pass.
func judgeListen(err error, worked bool) (verdict, time.Duration) {
	v, after := judge(err)
	switch {
	case v == elsewhere && worked:
		return again, 0
	case v != giveUp:
		return v, after
	}
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists,
		connect.CodePermissionDenied, connect.CodeUnauthenticated, connect.CodeFailedPrecondition,
		connect.CodeOutOfRange, connect.CodeUnimplemented:
		return giveUp, 0
	case connect.CodeResourceExhausted:
		if !worked {
			return giveUp, 0
		}
	}
	return again, 0
}

// retryAfter is the wait, in whole seconds, that the hub asked for.
func retryAfter(err error) (time.Duration, bool) {
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return 0, false
	}
	seconds, parseErr := strconv.ParseUint(wire.Meta().Get("Retry-After"), 10, 16)
	return time.Duration(seconds) * time.Second, parseErr == nil
}

// attempts counts the attempts of one call or stream. First each address has its turn, without a wait;
// then come backoff and the retry budget.
type attempts struct {
	c       *Client
	since   time.Time // start of the budget; zero: at the next failure
	endless bool      // Listen
	worked  bool      // a message has come
	failed  int       // attempts since the last progress
	strange int       // of these, how many in a row were hopeless at their address
	wait    time.Duration
}

// progress starts the count and the budget anew.
func (a *attempts) progress() {
	a.since, a.failed, a.strange, a.wait = time.Time{}, 0, 0, 0
}

// next returns nil, after a wait, if there shall be another attempt after e's failed with err, and
// otherwise the error to end with.
func (a *attempts) next(ctx context.Context, e *endpoint, err error) error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	if a.since.IsZero() {
		a.since = time.Now()
	}
	v, wait := a.judge(err)
	a.failed++
	a.strange++
	if v != elsewhere {
		a.strange = 0
	}
	if v == giveUp || a.strange >= len(a.c.endpoints) || (a.c.retryFor < 0 && !a.endless) {
		return err
	}
	a.c.leave(e)
	if a.failed < len(a.c.endpoints) {
		wait = 0
	} else {
		wait = max(wait, a.backoff())
		if !a.endless && time.Since(a.since)+wait > a.c.retryFor {
			return err
		}
	}
	a.c.onRetry(err, wait)
	return sleep(ctx, wait)
}

func (a *attempts) judge(err error) (verdict, time.Duration) {
	if a.endless {
		return judgeListen(err, a.worked)
	}
	return judge(err)
}

// backoff doubles from pace.first to pace.max; up to half of it is left to chance, so that clients that
// lost the same hub do not come back in one moment.
func (a *attempts) backoff() time.Duration {
	a.wait = min(max(2*a.wait, a.c.pace.first), a.c.pace.max)
	return a.wait/2 + rand.N(a.wait/2+1) //nolint:gosec // chance is enough here: nobody gains by guessing it
}

// pick is the endpoint in use.
func (c *Client) pick() *endpoint {
	return c.endpoints[c.current.Load()]
}

// leave moves on from e, unless another call has done so already.
func (c *Client) leave(e *endpoint) {
	i := c.current.Load()
	if c.endpoints[i] == e {
		c.current.CompareAndSwap(i, (i+1)%int64(len(c.endpoints)))
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

func anyError(error) bool { return true }

// call runs a unary call until it succeeds, fails for good, or its budget is spent. may says after which
// errors it may be repeated at all.
func call[Res any](ctx context.Context, c *Client, may func(error) bool, f func(context.Context, *endpoint) (*Res, error)) (*Res, error) {
	ctx, stop := c.join(ctx)
	defer stop()
	return repeat(ctx, c, time.Now(), may, f)
}

func repeat[Res any](ctx context.Context, c *Client, since time.Time, may func(error) bool, f func(context.Context, *endpoint) (*Res, error)) (*Res, error) {
	tries := attempts{c: c, since: since}
	for {
		e := c.pick()
		res, err := once(ctx, e, c.unaryTimeout, f)
		if err == nil {
			return res, nil
		}
		if ctx.Err() != nil || !may(err) {
			return nil, err
		}
		if err := tries.next(ctx, e, err); err != nil {
			return nil, err
		}
	}
}

// once is one attempt. Its error is ctx's if that ended, and otherwise explains itself.
func once[Res any](ctx context.Context, e *endpoint, timeout time.Duration, f func(context.Context, *endpoint) (*Res, error)) (*Res, error) {
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	res, err := f(attempt, e)
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return nil, contextError(ctx)
	case attempt.Err() != nil, connect.CodeOf(err) == connect.CodeDeadlineExceeded: // the hub's clock may be first
		return nil, e.silent(ctx, timeout)
	}
	return nil, e.explain(err)
}
