package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// inOrder fails unless the entries are those after the cursor, each once.
func inOrder(t *testing.T, entries []*hubv1.Entry, after *uint64) {
	t.Helper()
	for _, e := range entries {
		if e.GetSequence() != *after+1 || e.GetContent() != fmt.Sprint("content ", *after) {
			t.Fatalf("after %d comes %d: %q", *after, e.GetSequence(), e.GetContent())
		}
		*after++
	}
}

func TestSyncReadsToTheHead(t *testing.T) {
	hub := &fakeHub{}
	hub.fill(100)
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	var seen, until uint64 = 10, 50
	for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{After: 10, Until: until}) {
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, m.GetEntries(), &seen)
	}
	if seen != until {
		t.Errorf("read up to %d", seen)
	}
	for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{After: 100}) {
		if err != nil || m.GetCursor() != 100 || len(m.GetEntries()) != 0 {
			t.Errorf("level with the head: %v, %v", m, err)
		}
	}
}

func TestSyncResumesWhereItWasCut(t *testing.T) {
	const head = 400
	hub := &fakeHub{}
	hub.fill(head)
	for round := range 8 {
		l := &cutter{Listener: listen(t), most: 3000}
		c := newClient(t, Config{Addresses: []string{serveOn(t, l, hub.handler())}})
		var seen uint64
		for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if seen == 0 {
				hub.add(&hubv1.NewEntry{Id: NewID(), Content: "after the beginning"})
			}
			inOrder(t, m.GetEntries(), &seen)
		}
		if seen != head+uint64(round) && seen != head {
			t.Fatalf("round %d ended at %d", round, seen)
		}
		if l.cuts.Load() == 0 {
			t.Errorf("round %d was not cut", round)
		}
		hub.mu.Lock()
		hub.log = hub.log[:head]
		hub.mu.Unlock()
	}
}

func TestSyncGivesUpWithoutProgress(t *testing.T) {
	hub := &fakeHub{stream: func(_ context.Context, n int) error {
		if n == 1 {
			return connect.NewError(connect.CodeUnavailable, errors.New("draining"))
		}
		return nil
	}}
	hub.fill(9)
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, RetryFor: time.Nanosecond})
	got, last := 0, error(nil)
	for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if err == nil {
			got += len(m.GetEntries())
		}
		last = err
	}
	wantCode(t, last, connect.CodeUnavailable)
	if got != 3 {
		t.Errorf("%d entries before the end", got)
	}
	c = newClient(t, Config{Addresses: []string{hub.serve(t)}, RetryFor: time.Minute})
	seen := uint64(0)
	for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if err != nil {
			t.Fatal(err) // each stream gives one message, and so a new budget
		}
		inOrder(t, m.GetEntries(), &seen)
	}
	if seen != 9 {
		t.Errorf("read up to %d", seen)
	}
}

func TestSyncPermanentError(t *testing.T) {
	for _, code := range []connect.Code{connect.CodeOutOfRange, connect.CodeUnauthenticated, connect.CodeInternal} {
		hub := &fakeHub{stream: func(context.Context, int) error { return connect.NewError(code, errors.New("no")) }}
		c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
		pairs := 0
		for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
			pairs++
			wantCode(t, err, code)
			if m != nil {
				t.Error("a message with an error")
			}
		}
		if pairs != 1 || hub.streams.Load() != 1 {
			t.Errorf("%v: %d pairs of %d streams", code, pairs, hub.streams.Load())
		}
	}
}

func TestSyncLeftEarlyEndsTheStream(t *testing.T) {
	gone := make(chan struct{})
	hub := &fakeHub{stream: func(ctx context.Context, n int) error {
		if n == 1 {
			<-ctx.Done()
			close(gone)
			return ctx.Err()
		}
		return nil
	}}
	hub.fill(9)
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	for _, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	<-gone
}

func TestWatchdogEndsASilentStream(t *testing.T) {
	hub := &fakeHub{stream: func(ctx context.Context, n int) error {
		if n == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	hub.fill(9)
	var silences atomic.Int64
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, Timeout: 100 * time.Millisecond, RetryFor: time.Minute, OnRetry: func(err error, _ time.Duration) {
		if !errors.Is(err, ErrTimeout) || connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("told of %v", err)
		}
		silences.Add(1)
	}})
	var seen uint64
	for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, m.GetEntries(), &seen)
		if seen == 9 {
			break
		}
	}
	if silences.Load() < 2 { // on a busy machine a stream may be silent once more
		t.Errorf("%d silences", silences.Load())
	}
	seen = 0
	for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, m.GetEntries(), &seen)
	}
	if seen != 9 {
		t.Errorf("synced up to %d", seen)
	}
}

func TestStreamsEndWithTheirContext(t *testing.T) {
	hub := &fakeHub{}
	hub.fill(3)
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for m, err := range c.Listen(ctx, &hubv1.ListenRequest{}) {
		if last = err; m != nil {
			cancel()
		}
	}
	wantCode(t, last, connect.CodeCanceled)
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v", last)
	}
	last = nil
	for _, err := range c.Sync(ctx, &hubv1.SyncRequest{}) {
		last = err
	}
	wantCode(t, last, connect.CodeCanceled)
}
