package client

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// maxSenders is how many shared requests are under way at once.
const maxSenders = 2

// share makes calls of Publish that run at once travel together: those that come while requests are under
// way wait for the next one, which takes them all. There is no timer: a lone call leaves at once.
type share struct {
	senders sync.WaitGroup

	mu      sync.Mutex
	queue   []*pending
	running int
	closed  bool
}

// pending is one call of Publish that waits for its answer.
type pending struct {
	entries []*hubv1.NewEntry
	size    int
	since   time.Time
	group   *group // nil while it is in the queue
	done    chan struct{}

	sequences []uint64
	err       error
}

// group is the calls in one shared request.
type group struct {
	calls   []*pending
	waiting int // calls whose caller is still there; under share.mu
	cancel  context.CancelFunc
}

var pendingPool = sync.Pool{New: func() any { return &pending{done: make(chan struct{}, 1)} }}

func newPending(entries []*hubv1.NewEntry, size int) *pending {
	p := pendingPool.Get().(*pending) //nolint:errcheck // the pool has nothing else
	p.entries, p.size, p.since = entries, size, time.Now()
	return p
}

// release hands p back. Only for a call that was answered: an abandoned one is still a sender's.
func (p *pending) release() {
	*p = pending{done: p.done}
	pendingPool.Put(p)
}

func (p *pending) answer(sequences []uint64, err error) {
	p.sequences, p.err = sequences, err
	p.done <- struct{}{}
}

func (s *share) join(c *Client, p *pending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return connect.NewError(connect.CodeCanceled, ErrClosed)
	}
	s.queue = append(s.queue, p)
	if s.running < maxSenders {
		s.running++
		s.senders.Add(1)
		go s.send(c)
	}
	return nil
}

// abandon takes p out of the queue, or ends its request if nobody waits for that any more.
func (s *share) abandon(p *pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.group != nil {
		p.group.waiting--
		if p.group.waiting == 0 {
			p.group.cancel()
		}
		return
	}
	for i, queued := range s.queue {
		if queued == p {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return
		}
	}
}

func (s *share) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// send sends groups until the queue is empty.
func (s *share) send(c *Client) {
	defer s.senders.Done()
	for {
		// Callers that were just answered, or are about to call, get to the queue first: otherwise the
		// quickest of them would leave alone, and the others would wait for it.
		runtime.Gosched()
		ctx, cancel := context.WithCancel(c.ctx)
		g := s.take(cancel)
		if g == nil {
			cancel()
			return
		}
		c.deliver(ctx, g.calls)
		cancel()
	}
}

// take makes a group of what waits, first come first served, up to the limits of one request. With nothing
// waiting it counts the sender out and returns nil.
func (s *share) take(cancel context.CancelFunc) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.running--
		return nil
	}
	n, entries, size := 0, 0, 0
	for _, p := range s.queue {
		entries += len(p.entries)
		size += p.size
		if entries > MaxBatchEntries || size > MaxBatchBytes {
			break
		}
		n++
	}
	g := &group{calls: make([]*pending, n), waiting: n, cancel: cancel}
	copy(g.calls, s.queue)
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	for _, p := range g.calls {
		p.group = g
	}
	return g
}

// deliver sends the calls in one request and answers each. If the request is refused for what may be the
// fault of a single call, the halves are sent apart, and so on down to that call, so that only it fails.
func (c *Client) deliver(ctx context.Context, calls []*pending) {
	entries := calls[0].entries
	if len(calls) > 1 {
		entries = nil
		for _, p := range calls {
			entries = append(entries, p.entries...)
		}
	}
	sequences, err := c.publish(ctx, calls[0].since, entries)
	if err != nil && len(calls) > 1 && mayBeOneCalls(err) {
		half := len(calls) / 2
		c.deliver(ctx, calls[:half])
		c.deliver(ctx, calls[half:])
		return
	}
	if shared, ok := errors.AsType[*connect.Error](err); ok {
		shared.Meta() // makes the map on first use, which callers that share the error must not do at once
	}
	for _, p := range calls {
		if err != nil {
			p.answer(nil, err)
			continue
		}
		n := len(p.entries)
		own := sequences[:n:n]
		sequences = sequences[n:]
		p.answer(own, nil)
	}
}

// mayBeOneCalls reports whether the refusal of a shared request may belong to one of its calls. A fault on
// the way, or a token that is not good, belongs to all; a proxy's limit on size may spare each alone.
func mayBeOneCalls(err error) bool {
	if f, ok := asFault(err); ok {
		return errors.Is(f, ErrTooLarge)
	}
	switch connect.CodeOf(err) {
	case connect.CodeCanceled, connect.CodeDeadlineExceeded, connect.CodeUnavailable,
		connect.CodeUnauthenticated, connect.CodeUnimplemented:
		return false
	}
	return true
}
