package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// abandonedHub holds a Publish until its caller has gone.
type abandonedHub struct {
	fakeHub
	came, gone chan struct{}
}

func (h *abandonedHub) handler() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(h.came)
		<-r.Context().Done()
		close(h.gone)
	})
}

// recorder notes how requests arrive. One at a time.
type recorder struct {
	next      http.Handler
	encodings []string
	bytes     []int64
	answers   []string // encodings
	token     string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	counted := &countingBody{ReadCloser: req.Body}
	req.Body = counted
	encoding := req.Header.Get("Grpc-Encoding")
	r.token = req.Header.Get("Authorization")
	r.next.ServeHTTP(w, req)
	if counted.n < 1024 {
		encoding = "" // the header is there on every request; it is each message that says whether it is compressed
	}
	r.encodings = append(r.encodings, encoding)
	r.bytes = append(r.bytes, counted.n)
	r.answers = append(r.answers, w.Header().Get("Grpc-Encoding"))
}

type countingBody struct {
	io.ReadCloser
	n int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}

func refuseWith(code connect.Code, retryAfter string) func() error {
	return func() error {
		err := connect.NewError(code, errors.New("no"))
		if retryAfter != "" {
			err.Meta().Set("Retry-After", retryAfter)
		}
		return err
	}
}

func TestUnaryCalls(t *testing.T) {
	c := newClient(t, Config{Addresses: []string{(&fakeHub{}).serve(t)}})
	status, err := c.Status(t.Context())
	if err != nil || status.GetHubId() != "fake" {
		t.Errorf("status: %v, %v", status, err)
	}
	registered, err := c.Register(t.Context(), &hubv1.RegisterRequest{Project: "api"})
	if err != nil || registered.GetToken() != "ctx_cli_1" {
		t.Errorf("register: %v, %v", registered, err)
	}
	projects, err := c.ListProjects(t.Context())
	if err != nil || len(projects) != 1 {
		t.Errorf("projects: %v, %v", projects, err)
	}
	if err := c.Revoke(t.Context(), "api"); err != nil {
		t.Errorf("revoke: %v", err)
	}
	wantCode(t, c.Revoke(t.Context(), "web"), connect.CodeNotFound)
}

func TestNoRetryOfWhatCannotGetBetter(t *testing.T) {
	for _, code := range []connect.Code{
		connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodePermissionDenied,
		connect.CodeUnauthenticated, connect.CodeFailedPrecondition, connect.CodeOutOfRange,
		connect.CodeUnimplemented, connect.CodeResourceExhausted,
	} {
		var calls atomic.Int64
		hub := &fakeHub{status: func() error { calls.Add(1); return refuseWith(code, "")() }}
		c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
		_, err := c.Status(t.Context())
		wantCode(t, err, code)
		if calls.Load() != 1 {
			t.Errorf("%v: %d calls", code, calls.Load())
		}
	}
}

func TestRetryAfterMakesALimitPass(t *testing.T) {
	var calls atomic.Int64
	hub := &fakeHub{status: func() error {
		if calls.Add(1) == 1 {
			return refuseWith(connect.CodeResourceExhausted, "1")()
		}
		return nil
	}}
	var wait time.Duration
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, OnRetry: func(_ error, w time.Duration) { wait = w }})
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if wait != time.Second {
		t.Errorf("waited %v", wait)
	}
}

func TestRetryBudget(t *testing.T) {
	for name, test := range map[string]struct {
		retryFor time.Duration
		enough   func(calls int64) bool
	}{
		"none":  {-1, func(n int64) bool { return n == 1 }},
		"some":  {50 * time.Millisecond, func(n int64) bool { return n > 1 }},
		"asked": {time.Nanosecond, func(n int64) bool { return n == 1 }},
	} {
		var calls atomic.Int64
		hub := &fakeHub{status: func() error { calls.Add(1); return refuseWith(connect.CodeUnavailable, "")() }}
		c := newClient(t, Config{Addresses: []string{hub.serve(t)}, RetryFor: test.retryFor})
		_, err := c.Status(t.Context())
		wantCode(t, err, connect.CodeUnavailable)
		if !test.enough(calls.Load()) {
			t.Errorf("%s: %d calls", name, calls.Load())
		}
	}
}

func TestContextEndsRetries(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hub := &fakeHub{status: refuseWith(connect.CodeUnavailable, "")}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, RetryFor: time.Hour, OnRetry: func(error, time.Duration) { cancel() }})
	_, err := c.Status(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	expired, cancelExpired := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancelExpired()
	_, err = c.Publish(expired, entry("x"))
	wantCode(t, err, connect.CodeDeadlineExceeded)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestFailover(t *testing.T) {
	dead := listen(t)
	_ = dead.Close()
	hub := &fakeHub{}
	told := 0
	c := newClient(t, Config{
		Addresses: []string{dead.Addr().String(), hub.serve(t)},
		RetryFor:  time.Nanosecond, // each address has its turn all the same
		OnRetry: func(err error, wait time.Duration) {
			told++
			if !errors.Is(err, ErrUnreachable) || wait != 0 {
				t.Errorf("told %v, %v", err, wait)
			}
		},
	})
	for range 3 {
		if _, err := c.Publish(t.Context(), entry("x")); err != nil {
			t.Fatal(err)
		}
	}
	if told != 1 {
		t.Errorf("went to the dead address %d times", told)
	}
}

func TestFailoverFromAServerThatIsNoHub(t *testing.T) {
	web := serveOn(t, listen(t), http.NotFoundHandler())
	c := newClient(t, Config{Addresses: []string{web, (&fakeHub{}).serve(t)}})
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	both := newClient(t, Config{Addresses: []string{web, serveOn(t, listen(t), http.NotFoundHandler())}, RetryFor: time.Hour})
	if _, err := both.Status(t.Context()); !errors.Is(err, ErrNotAHub) {
		t.Errorf("got %v", err)
	}
}

func TestFailoverFromAHubThatHangs(t *testing.T) {
	stuck := make(chan struct{})
	hanging := &fakeHub{status: func() error { <-stuck; return nil }}
	c := newClient(t, Config{Addresses: []string{hanging.serve(t), (&fakeHub{}).serve(t)}, Timeout: 500 * time.Millisecond, RetryFor: time.Nanosecond})
	defer close(stuck)
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegisterIsNotRepeatedWhenItsOutcomeIsUnknown(t *testing.T) {
	hub := &fakeHub{status: refuseWith(connect.CodeUnavailable, "")}
	c := newClient(t, Config{Addresses: []string{hub.serve(t), hub.serve(t)}})
	_, err := c.Register(t.Context(), &hubv1.RegisterRequest{Project: "api"})
	wantCode(t, err, connect.CodeUnavailable)
	if n := hub.registers.Load(); n != 1 {
		t.Errorf("registered %d times", n)
	}

	dead := listen(t)
	_ = dead.Close()
	second := &fakeHub{}
	c = newClient(t, Config{Addresses: []string{dead.Addr().String(), second.serve(t)}})
	if _, err := c.Register(t.Context(), &hubv1.RegisterRequest{Project: "api"}); err != nil || second.registers.Load() != 1 {
		t.Errorf("not sent, and not sent on: %v", err)
	}
}

func TestBackoffGrowsWithinBounds(t *testing.T) {
	a := attempts{c: &Client{pace: pace{first: 100 * time.Millisecond, max: 5 * time.Second}}}
	for _, millis := range []int{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		most := time.Duration(millis) * time.Millisecond
		if wait := a.backoff(); wait < most/2 || wait > most {
			t.Errorf("waits %v, want %v to %v", wait, most/2, most)
		}
	}
}
