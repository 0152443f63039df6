package client

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// cutOnce is a hub that ends its first stream before the second message, after a change.
func cutOnce(change func(*fakeHub)) *fakeHub {
	hub := &fakeHub{}
	hub.stream = func(_ context.Context, n int) error {
		if n == 1 && hub.streams.Load() == 1 {
			change(hub)
			return connect.NewError(connect.CodeUnavailable, errors.New("draining"))
		}
		return nil
	}
	hub.fill(9)
	return hub
}

// TestAResumedStreamGoesOnInTheSameLog: a hub that was restored while a stream was broken, and has grown past the
// reader's cursor again, has another sum there.
func TestAResumedStreamGoesOnInTheSameLog(t *testing.T) {
	restore := func(h *fakeHub) { h.salt.Store(1) }
	t.Run("sync", func(t *testing.T) {
		c := newClient(t, Config{Addresses: []string{cutOnce(restore).serve(t)}})
		var seen uint64
		var last error
		for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
			inOrder(t, m.GetEntries(), &seen)
			last = err
		}
		if !errors.Is(last, ErrRestored) || seen != 3 {
			t.Errorf("it ended at %d with %v", seen, last)
		}
	})
	t.Run("listen", func(t *testing.T) {
		c := newClient(t, Config{Addresses: []string{cutOnce(restore).serve(t)}})
		var seen uint64
		var last error
		for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
			inOrder(t, m.GetEntries(), &seen)
			if last = err; seen > 3 {
				break
			}
		}
		if !errors.Is(last, ErrRestored) || seen != 3 {
			t.Errorf("it ended at %d with %v", seen, last)
		}
	})
}

// TestResumingAsksToSkipAgain: an archive may be taken away while a stream is broken.
func TestResumingAsksToSkipAgain(t *testing.T) {
	takeAway := func(h *fakeHub) { h.gone.Store(5) }
	t.Run("sync", func(t *testing.T) {
		c := newClient(t, Config{Addresses: []string{cutOnce(takeAway).serve(t)}})
		var cursor, skipped uint64
		for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{SkipMissing: true}) {
			if err != nil {
				t.Fatal(err)
			}
			cursor, skipped = m.GetCursor(), max(skipped, m.GetSkipped())
		}
		if cursor != 9 || skipped != 5 {
			t.Errorf("it ended at %d and skipped up to %d", cursor, skipped)
		}
	})
	t.Run("listen", func(t *testing.T) {
		c := newClient(t, Config{Addresses: []string{cutOnce(takeAway).serve(t)}})
		var skipped uint64
		for m, err := range c.Listen(t.Context(), &hubv1.ListenRequest{SkipMissing: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if skipped = max(skipped, m.GetSkipped()); m.GetCursor() == 9 {
				break
			}
		}
		if skipped != 5 {
			t.Errorf("it skipped up to %d", skipped)
		}
	})
	t.Run("unasked", func(t *testing.T) {
		c := newClient(t, Config{Addresses: []string{cutOnce(takeAway).serve(t)}})
		var last error
		for _, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
			last = err
		}
		wantCode(t, last, connect.CodeFailedPrecondition)
	})
}

func TestRefusals(t *testing.T) {
	limit := connect.NewError(connect.CodeResourceExhausted, errors.New("too often"))
	limit.Meta().Set("Retry-After", "5")
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"invalid":          {connect.NewError(connect.CodeInvalidArgument, errors.New("x")), true},
		"taken":            {connect.NewError(connect.CodeAlreadyExists, errors.New("x")), true},
		"too large":        {connect.NewError(connect.CodeResourceExhausted, errors.New("x")), true},
		"a proxy's limit":  {newFault(connect.CodeResourceExhausted, ErrTooLarge, "x"), true},
		"a limit passes":   {limit, false},
		"the disk":         {connect.NewError(connect.CodeUnavailable, errors.New("x")), false},
		"the token":        {connect.NewError(connect.CodeUnauthenticated, errors.New("x")), false},
		"nobody is there":  {newFault(connect.CodeFailedPrecondition, ErrServerWantsTLS, "x"), false},
		"nothing is wrong": {nil, false},
	} {
		if got := IsRefused(tc.err); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
