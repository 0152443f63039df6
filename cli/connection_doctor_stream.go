package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

const largeRequest = 2 << 20 // bytes: above nginx's limit, below the hub's

// sendLargeRequest asks for what the hub refuses to read out, in so many words that a proxy with a limit on the size
// of requests refuses it first. The hub has done nothing then, and neither has the proxy.
func (p *patient) sendLargeRequest(ctx context.Context) finding {
	err := errors.New("the hub took a type that there is not")
	for _, err = range p.client.Sync(ctx, &hubv1.SyncRequest{Types: []string{strings.Repeat("x", largeRequest)}}) {
		break
	}
	switch {
	case isMalformed(err):
		return fine("%s in one request come through", size(largeRequest))
	case errors.Is(err, client.ErrTooLarge):
		return doubt("in nginx's server block: client_max_body_size 8m;",
			"%s refuses a request of %s (HTTP status 413): ctx compresses large entries, other programs' batches do not pass", p.inBetween(), size(largeRequest))
	case err == nil:
		return unseen("the hub answered what it should have refused")
	}
	e := explain(err)
	return doubt(e.Hint, "a request of %s does not come through: %s", size(largeRequest), e.Error)
}

// streaming is a Listen that is looked at while nothing happens on it.
type streaming struct {
	began    time.Time
	messages chan time.Duration // since the beginning
	ended    chan error
	hangUp   func()
}

const (
	firstWithin   = 3 * time.Second  // a hub's first message leaves at once
	heartbeatWait = 12 * time.Second // a hub's heartbeat is due after 10 s, unless it was told otherwise
	longestBeat   = 20 * time.Second // and then at most after this
)

// open begins to listen behind the head. The stream is not opened again when it ends.
func (p *patient) open(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	c, err := p.dial(client.Config{
		Timeout: longestBeat + statusTimeout,
		OnRetry: func(err error, _ time.Duration) { cancel(err) },
	})
	if err != nil {
		cancel(nil)
		return err
	}
	p.began, p.messages, p.ended = time.Now(), make(chan time.Duration, 1), make(chan error, 1)
	p.hangUp = func() { cancel(nil); c.Close() }
	go func() {
		for _, err := range c.Listen(ctx, &hubv1.ListenRequest{After: p.status.GetHead()}) {
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = cause
				}
				p.ended <- err
				return
			}
			select {
			case p.messages <- time.Since(p.began):
			case <-ctx.Done():
			}
		}
	}()
	return nil
}

func (p *patient) awaitFirstMessage(ctx context.Context) finding {
	if err := p.open(ctx); err != nil {
		return broken(err)
	}
	wait := time.NewTimer(longestBeat + statusTimeout)
	defer wait.Stop()
	select {
	case after := <-p.messages:
		if after > firstWithin+p.rtt {
			return wrong("in a proxy on the way, turn off buffering of answers; in nginx, grpc_pass does not buffer",
				"a stream's first message took %s: something on the way holds messages back", fineSpan(after))
		}
		return fine("came after %s: nothing holds it back", fineSpan(after))
	case err := <-p.ended:
		return broken((&here{p.dir, p.conn}).explain(err))
	case <-wait.C:
		return wrong("in a proxy on the way, turn off buffering of answers; in nginx, grpc_pass does not buffer",
			"none has come within %s: something on the way holds messages back", span(longestBeat+statusTimeout))
	case <-ctx.Done():
		return unseen("interrupted")
	}
}

// stayIdle waits for the hub's heartbeats, and whether the stream is still there after it. Where no proxy is to be seen
// there is nobody who would cut it within seconds.
func (p *patient) stayIdle(ctx context.Context) finding {
	defer p.hangUp()
	wait, enough := p.idle, false
	if wait == 0 {
		if p.http.server == "" {
			return unseen("no proxy is to be seen that could cut it; to look all the same: ctx connection doctor --idle 75s")
		}
		wait, enough = heartbeatWait, true
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	beats := 0
	for {
		select {
		case <-p.messages:
			if beats++; enough {
				return fine("a heartbeat came after %s, and the stream goes on", fineSpan(time.Since(p.began)))
			}
		case err := <-p.ended:
			return p.cut(err)
		case <-over.C:
			return stillOpen(wait, beats)
		case <-ctx.Done():
			return unseen("interrupted")
		}
	}
}

func stillOpen(d time.Duration, beats int) finding {
	if beats == 0 {
		return doubt("ctx connection doctor --idle 75s", "open for %s without a heartbeat; a hub sends one every 10 s, if it was not told to do so more seldom", span(d))
	}
	return fine("open for %s, with %s", span(d), plural(beats, "heartbeat", "heartbeats"))
}

// cut says who ended the stream, and when.
func (p *patient) cut(err error) finding {
	after := fineSpan(time.Since(p.began))
	switch {
	case errors.Is(err, client.ErrTimeout):
		return wrong("in a proxy on the way, turn off buffering of answers; in nginx, grpc_pass does not buffer",
			"no heartbeat has come for %s: something on the way holds messages back", span(longestBeat+statusTimeout))
	case errors.Is(err, client.ErrConnectionLost), errors.Is(err, client.ErrProxy):
		return wrong("in nginx's location block: grpc_read_timeout 5m; or more heartbeats: ctx hub start --heartbeat 5s",
			"%s cut it after %s of silence", p.inBetween(), after)
	}
	f := broken((&here{p.dir, p.conn}).explain(err))
	f.Seen = "ended after " + after + ": " + f.Seen
	return f
}
