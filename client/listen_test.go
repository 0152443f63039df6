package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

func TestListenResumesWhereItWasCut(t *testing.T) {
	const rounds, each = 30, 20
	hub := &fakeHub{}
	l := &cutter{Listener: listen(t), most: 2000}
	var retries atomic.Int64
	c := newClient(t, Config{Addresses: []string{serveOn(t, l, hub.handler())}, OnRetry: func(err error, _ time.Duration) {
		retries.Add(1)
		if connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("a cut is told as %v", err)
		}
	}})
	hub.fill(each)
	var seen uint64
	for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, m.GetEntries(), &seen)
		if seen == hub.head() {
			if seen == rounds*each {
				break
			}
			for i := range each {
				n := seen + uint64(i)
				hub.add(&hubv1.NewEntry{Id: NewID(), Content: fmt.Sprint("content ", n)})
			}
		}
	}
	if l.cuts.Load() == 0 || retries.Load() == 0 {
		t.Errorf("%d cuts, told of %d", l.cuts.Load(), retries.Load())
	}
}

func TestListenFailsOverBetweenHubs(t *testing.T) {
	hub := &fakeHub{stream: func(_ context.Context, n int) error {
		if n > 0 && rand.N(3) == 0 {
			return connect.NewError(connect.CodeUnavailable, errors.New("draining"))
		}
		return nil
	}}
	hub.fill(200)
	c := newClient(t, Config{Addresses: []string{hub.serve(t), hub.serve(t), hub.serve(t)}})
	var seen uint64
	for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, m.GetEntries(), &seen)
		if seen == 200 {
			break
		}
	}
	if hub.streams.Load() < 2 {
		t.Error("no stream was cut")
	}
}

func TestListenGoesOnUntilThePermanentError(t *testing.T) {
	answers := []connect.Code{0, connect.CodeInternal, connect.CodeUnknown, connect.CodeAborted, connect.CodeResourceExhausted, connect.CodeUnauthenticated}
	hub := &fakeHub{}
	hub.stream = func(_ context.Context, n int) error {
		i := hub.streams.Load() - 1
		if i == 0 && n == 0 {
			return nil
		}
		return connect.NewError(answers[max(i, 1)], errors.New("no"))
	}
	hub.fill(6)
	var told []connect.Code
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, RetryFor: -1, OnRetry: func(err error, wait time.Duration) {
		told = append(told, connect.CodeOf(err))
		if wait <= 0 {
			t.Error("no wait")
		}
	}})
	var last error
	for _, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		last = err
	}
	wantCode(t, last, connect.CodeUnauthenticated)
	want := []connect.Code{connect.CodeInternal, connect.CodeInternal, connect.CodeUnknown, connect.CodeAborted, connect.CodeResourceExhausted}
	if !slices.Equal(told[len(told)-4:], want[1:]) {
		t.Errorf("told of %v", told)
	}
}

func TestListenWaitsForAHubThatIsNotThereYet(t *testing.T) {
	l := listen(t)
	addr := l.Addr().String()
	_ = l.Close()
	hub := &fakeHub{}
	hub.fill(3)
	var refused atomic.Int64
	up := make(chan struct{})
	c := newClient(t, Config{Addresses: []string{addr}, OnRetry: func(err error, _ time.Duration) {
		if refused.Add(1) == 3 {
			close(up)
		}
	}})
	go func() {
		<-up
		again, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		serveOn(t, again, hub.handler())
	}()
	for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if err != nil || m.GetCursor() != 3 {
			t.Errorf("got %v, %v", m, err)
		}
		break
	}
}

func TestListenNotAHub(t *testing.T) {
	hub := &fakeHub{}
	var isHub atomic.Bool
	itself := hub.handler()
	addr := serveOn(t, listen(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isHub.Load() {
			itself.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	var passing error
	c := newClient(t, Config{Addresses: []string{addr}, OnRetry: func(err error, _ time.Duration) {
		if errors.Is(err, ErrNotAHub) {
			passing = err
			isHub.Store(true)
		}
	}})
	var last error
	for _, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		last = err
	}
	if !errors.Is(last, ErrNotAHub) || passing != nil {
		t.Fatalf("at first: got %v, told of %v", last, passing)
	}

	// Once a stream has worked, a proxy that forgets its hub for a while is something that passes.
	hub.stream = func(_ context.Context, n int) error {
		if n == 1 && passing == nil {
			isHub.Store(false)
			return connect.NewError(connect.CodeUnavailable, errors.New("draining"))
		}
		return nil
	}
	isHub.Store(true)
	hub.fill(6)
	for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.GetCursor() == 6 {
			break
		}
	}
	if passing == nil {
		t.Error("the proxy did not forget its hub")
	}
}

func TestSlowConsumerDoesNotTripTheWatchdog(t *testing.T) {
	hub := &fakeHub{}
	hub.fill(9)
	const timeout = time.Second
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, Timeout: timeout, OnRetry: func(err error, _ time.Duration) {
		t.Errorf("the stream was cut: %v", err)
	}})
	for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.GetCursor() == 3 {
			time.Sleep(timeout + timeout/5)
		}
		if m.GetCursor() == 9 {
			break
		}
	}
}
