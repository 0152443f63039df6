package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// fakeHub keeps its log in memory. Its fields are set before it serves.
type fakeHub struct {
	hubv1connect.UnimplementedHubServiceHandler
	hubv1connect.UnimplementedAdminServiceHandler

	refuse func(*hubv1.PublishRequest) error // before storing
	after  func(*hubv1.PublishRequest) error // after storing: an answer that is lost
	status func() error
	batch  int // entries in a message; 0: 3
	// stream is asked before the n-th message of a stream is sent.
	stream func(ctx context.Context, n int) error
	gone   atomic.Uint64 // entries up to here were taken out of the archive
	salt   atomic.Int64  // another one makes the log one of another past

	publishes atomic.Int64 // requests
	streams   atomic.Int64
	registers atomic.Int64

	mu    sync.Mutex
	log   []*hubv1.Entry
	ids   map[string]uint64
	moved chan struct{}
}

func (h *fakeHub) Publish(_ context.Context, req *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	h.publishes.Add(1)
	if h.refuse != nil {
		if err := h.refuse(req); err != nil {
			return nil, err
		}
	}
	res := &hubv1.PublishResponse{Sequences: h.add(req.GetEntries()...)}
	if h.after != nil {
		if err := h.after(req); err != nil {
			return nil, err
		}
	}
	return res, nil
}

func (h *fakeHub) add(entries ...*hubv1.NewEntry) []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = make(map[string]uint64)
	}
	var sequences []uint64
	for _, e := range entries {
		if _, ok := h.ids[e.GetId()]; !ok {
			h.ids[e.GetId()] = uint64(len(h.log) + 1)
			h.log = append(h.log, &hubv1.Entry{Sequence: uint64(len(h.log) + 1), Id: e.GetId(), Content: e.GetContent()})
		}
		sequences = append(sequences, h.ids[e.GetId()])
	}
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
	return sequences
}

// sum names the log up to a sequence.
func (h *fakeHub) sum(at uint64) string {
	if at == 0 {
		return ""
	}
	return fmt.Sprintf("%064x", at<<8+uint64(h.salt.Load()))
}

// begin is where a reader's stream begins, and up to where it skips for that.
func (h *fakeHub) begin(after uint64, skip bool) (from, skipped uint64, err error) {
	switch {
	case after >= h.gone.Load():
		return after, 0, nil
	case skip:
		return h.gone.Load(), h.gone.Load(), nil
	}
	return 0, 0, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("entries up to %d were taken away", h.gone.Load()))
}

func (h *fakeHub) head() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint64(len(h.log))
}

// read returns entries after the cursor, or a channel that is closed when there are more.
func (h *fakeHub) read(after, until uint64) ([]*hubv1.Entry, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.moved == nil {
		h.moved = make(chan struct{})
	}
	n := h.batch
	if n == 0 {
		n = 3
	}
	end := min(after+uint64(n), until, uint64(len(h.log)))
	if end <= after {
		return nil, h.moved
	}
	return h.log[after:end:end], h.moved
}

func (h *fakeHub) Sync(ctx context.Context, req *hubv1.SyncRequest, out *connect.ServerStream[hubv1.SyncResponse]) error {
	h.streams.Add(1)
	until := req.GetUntil()
	if until == 0 {
		until = h.head()
	}
	cursor, skipped, err := h.begin(req.GetAfter(), req.GetSkipMissing())
	if err != nil {
		return err
	}
	for n := 0; cursor < until || n == 0; n++ {
		if err := h.ask(ctx, n); err != nil {
			return err
		}
		entries, _ := h.read(cursor, until)
		after := h.sum(cursor)
		cursor += uint64(len(entries))
		msg := &hubv1.SyncResponse{
			Entries: entries, Cursor: cursor, Head: until, HubId: "fake", Sum: h.sum(cursor), AfterSum: after, Skipped: skipped,
		}
		if err := out.Send(msg); err != nil {
			return err
		}
		skipped = 0
	}
	return nil
}

func (h *fakeHub) Listen(ctx context.Context, req *hubv1.ListenRequest, out *connect.ServerStream[hubv1.ListenResponse]) error {
	h.streams.Add(1)
	cursor, skipped, err := h.begin(req.GetAfter(), req.GetSkipMissing())
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := h.ask(ctx, n); err != nil {
			return err
		}
		entries, moved := h.read(cursor, h.head())
		after := h.sum(cursor)
		cursor += uint64(len(entries))
		msg := &hubv1.ListenResponse{
			Entries: entries, Cursor: cursor, Head: h.head(), HubId: "fake", Sum: h.sum(cursor), AfterSum: after, Skipped: skipped,
		}
		if err := out.Send(msg); err != nil {
			return err
		}
		skipped = 0
		if cursor < h.head() {
			continue
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return connect.NewError(connect.CodeCanceled, ctx.Err())
		}
	}
}

func (h *fakeHub) ask(ctx context.Context, n int) error {
	if h.stream == nil {
		return nil
	}
	return h.stream(ctx, n)
}

func (h *fakeHub) Status(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	if h.status != nil {
		if err := h.status(); err != nil {
			return nil, err
		}
	}
	return &hubv1.StatusResponse{HubId: "fake", Head: h.head()}, nil
}

func (h *fakeHub) Register(_ context.Context, req *hubv1.RegisterRequest) (*hubv1.RegisterResponse, error) {
	h.registers.Add(1)
	if h.status != nil {
		if err := h.status(); err != nil {
			return nil, err
		}
	}
	return &hubv1.RegisterResponse{Token: "ctx_cli_1", Project: req.GetProject()}, nil
}

func (h *fakeHub) ListProjects(context.Context, *hubv1.ListProjectsRequest) (*hubv1.ListProjectsResponse, error) {
	return &hubv1.ListProjectsResponse{Projects: []*hubv1.Project{{Name: "api"}}}, nil
}

func (h *fakeHub) Revoke(_ context.Context, req *hubv1.RevokeRequest) (*hubv1.RevokeResponse, error) {
	if req.GetProject() != "api" {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such project"))
	}
	return &hubv1.RevokeResponse{}, nil
}

func (h *fakeHub) handler() http.Handler { return handlerOf(h) }

func handlerOf(h interface {
	hubv1connect.HubServiceHandler
	hubv1connect.AdminServiceHandler
}) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(hubv1connect.NewHubServiceHandler(h))
	mux.Handle(hubv1connect.NewAdminServiceHandler(h))
	return mux
}

// serve serves it on a port of its own and returns the address.
func (h *fakeHub) serve(tb testing.TB) string {
	tb.Helper()
	return serveOn(tb, listen(tb), h.handler())
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func serveOn(tb testing.TB, l net.Listener, handler http.Handler) string {
	tb.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return l.Addr().String()
}

// cutter is a listener whose connections break after a random number of bytes, up to most, until it is told
// to stop.
type cutter struct {
	net.Listener
	most int64
	cuts atomic.Int64
	stop atomic.Bool
}

func (l *cutter) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: c, listener: l, left: 1 + rand.Int64N(l.most)}, nil
}

type cutConn struct {
	net.Conn
	listener *cutter
	left     int64
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.listener.stop.Load() {
		return c.Conn.Write(p)
	}
	if int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:c.left])
	c.left = 0
	c.listener.cuts.Add(1)
	_ = c.Close()
	return n, net.ErrClosed
}

// newClient makes a client that is quick to try again.
func newClient(tb testing.TB, cfg Config) *Client {
	tb.Helper()
	c, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	c.pace = pace{first: time.Millisecond, max: 4 * time.Millisecond}
	tb.Cleanup(c.Close)
	return c
}

func entry(content string) *hubv1.NewEntry {
	return &hubv1.NewEntry{Type: "decision", Content: content}
}

func (h *fakeHub) fill(n int) {
	for i := range n {
		h.add(&hubv1.NewEntry{Id: fmt.Sprint("id-", i), Content: fmt.Sprint("content ", i)})
	}
}

func wantCode(t *testing.T, err error, code connect.Code) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != code {
		t.Fatalf("got %v, want code %v", err, code)
	}
}
