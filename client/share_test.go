package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// gate holds requests until it is opened, and tells of each that has come.
type gate struct {
	came chan *hubv1.PublishRequest
	open chan struct{}
}

func newGate() *gate {
	return &gate{came: make(chan *hubv1.PublishRequest, 1024), open: make(chan struct{})}
}

func (g *gate) hold(req *hubv1.PublishRequest) error {
	g.came <- req
	<-g.open
	return nil
}

// occupy fills both senders, so that later calls queue.
func (g *gate) occupy(t *testing.T, c *Client, wg *sync.WaitGroup) {
	t.Helper()
	for i := range maxSenders {
		wg.Go(func() {
			if _, err := c.Publish(context.Background(), entry(fmt.Sprint("occupier ", i))); err != nil {
				t.Error(err)
			}
		})
		<-g.came
	}
}

func waitQueued(c *Client, n int) {
	for {
		c.share.mu.Lock()
		queued := len(c.share.queue)
		c.share.mu.Unlock()
		if queued == n {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

func TestPublishSharesRequests(t *testing.T) {
	g := newGate()
	hub := &fakeHub{refuse: g.hold}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	var wg sync.WaitGroup
	g.occupy(t, c, &wg)

	const callers, each = 50, 3
	var mu sync.Mutex
	got := make(map[uint64]string)
	for i := range callers {
		wg.Go(func() {
			entries := make([]*hubv1.NewEntry, each)
			for j := range entries {
				entries[j] = entry(fmt.Sprintf("%d/%d", i, j))
			}
			sequences, err := c.Publish(t.Context(), entries...)
			if err != nil || len(sequences) != each {
				t.Errorf("got %v, %v", sequences, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for j, s := range sequences {
				got[s] = entries[j].GetContent()
				if s != sequences[0]+uint64(j) {
					t.Errorf("a call's entries are apart: %v", sequences)
				}
			}
		})
	}
	waitQueued(c, callers)
	close(g.open)
	wg.Wait()

	if n := hub.publishes.Load(); n != maxSenders+1 {
		t.Errorf("%d calls took %d requests, want 1", callers, n-maxSenders)
	}
	for sequence, content := range got {
		if stored := hub.log[sequence-1].GetContent(); stored != content {
			t.Errorf("sequence %d was told for %q and holds %q", sequence, content, stored)
		}
	}
}

func TestPublishKeepsToTheLimitsWhenSharing(t *testing.T) {
	g := newGate()
	hub := &fakeHub{}
	hub.refuse = func(req *hubv1.PublishRequest) error {
		size := 0
		for _, e := range req.GetEntries() {
			size += len(e.GetContent())
		}
		if len(req.GetEntries()) > MaxBatchEntries || size > MaxBatchBytes {
			t.Errorf("a request of %d entries, %d bytes", len(req.GetEntries()), size)
		}
		return g.hold(req)
	}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	var wg sync.WaitGroup
	g.occupy(t, c, &wg)
	big := strings.Repeat("x", 900<<10)
	for range 10 {
		wg.Go(func() {
			if _, err := c.Publish(t.Context(), entry(big)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			many := make([]*hubv1.NewEntry, 100)
			for i := range many {
				many[i] = entry("small")
			}
			if _, err := c.Publish(t.Context(), many...); err != nil {
				t.Error(err)
			}
		})
	}
	waitQueued(c, 20)
	close(g.open)
	wg.Wait()
	if hub.head() != maxSenders+10+1000 {
		t.Errorf("%d entries are stored", hub.head())
	}
}

func TestPublishOneBadEntryFailsItsCallOnly(t *testing.T) {
	for _, code := range []connect.Code{connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodeFailedPrecondition, connect.CodePermissionDenied} {
		t.Run(code.String(), func(t *testing.T) {
			g := newGate()
			hub := &fakeHub{}
			hub.refuse = func(req *hubv1.PublishRequest) error {
				_ = g.hold(req)
				for _, e := range req.GetEntries() {
					if strings.HasPrefix(e.GetContent(), "bad") {
						return connect.NewError(code, errors.New("refused: "+e.GetContent()))
					}
				}
				return nil
			}
			c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
			var wg sync.WaitGroup
			g.occupy(t, c, &wg)
			for i := range 20 {
				wg.Go(func() {
					if i == 7 || i == 13 {
						_, err := c.Publish(t.Context(), entry("fine"), entry(fmt.Sprint("bad ", i)))
						wantCode(t, err, code)
						if !strings.HasSuffix(err.Error(), fmt.Sprint("bad ", i)) {
							t.Errorf("call %d got another's error: %v", i, err)
						}
						return
					}
					if _, err := c.Publish(t.Context(), entry(fmt.Sprint("good ", i))); err != nil {
						t.Errorf("call %d: %v", i, err)
					}
				})
			}
			waitQueued(c, 20)
			close(g.open)
			wg.Wait()
			if hub.head() != maxSenders+18 {
				t.Errorf("%d entries are stored, want %d", hub.head(), maxSenders+18)
			}
		})
	}
}

func TestPublishDoesNotRepeatWhatConcernsAll(t *testing.T) {
	g := newGate()
	var bad atomic.Bool
	hub := &fakeHub{}
	hub.refuse = func(req *hubv1.PublishRequest) error {
		_ = g.hold(req)
		if bad.Load() && len(req.GetEntries()) > 1 {
			return connect.NewError(connect.CodeUnauthenticated, errors.New("no"))
		}
		return nil
	}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	var wg sync.WaitGroup
	g.occupy(t, c, &wg)
	bad.Store(true)
	for range 10 {
		wg.Go(func() {
			_, err := c.Publish(t.Context(), entry("x"))
			wantCode(t, err, connect.CodeUnauthenticated)
			if wire, ok := errors.AsType[*connect.Error](err); ok {
				wire.Meta().Get("x") // shared by the callers: must not race
			}
		})
	}
	waitQueued(c, 10)
	close(g.open)
	wg.Wait()
	if n := hub.publishes.Load(); n != maxSenders+1 {
		t.Errorf("%d requests", n)
	}
}

func TestPublishEndsWithItsContextOnly(t *testing.T) {
	g := newGate()
	hub := &fakeHub{refuse: g.hold}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	var wg sync.WaitGroup
	g.occupy(t, c, &wg)

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.Publish(ctx, entry("left in the queue"))
		left <- err
	}()
	waitQueued(c, 1)
	wg.Go(func() {
		if _, err := c.Publish(t.Context(), entry("stays")); err != nil {
			t.Error(err)
		}
	})
	waitQueued(c, 2)
	cancel()
	err := <-left // while the hub still holds every request
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantCode(t, err, connect.CodeCanceled)
	close(g.open)
	wg.Wait()
	if hub.head() != maxSenders+1 {
		t.Errorf("%d entries are stored: an abandoned call was sent", hub.head())
	}
}

func TestPublishAbandonedByAllIsCancelled(t *testing.T) {
	came, gone := make(chan struct{}), make(chan struct{})
	hub := &abandonedHub{came: came, gone: gone}
	c := newClient(t, Config{Addresses: []string{serveOn(t, listen(t), hub.handler())}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Publish(ctx, entry("x"))
		done <- err
	}()
	<-came
	cancel()
	wantCode(t, <-done, connect.CodeCanceled)
	<-gone // the hub's handler has seen the cancellation
}
