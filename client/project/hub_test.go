package project

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// fakeHub is a hub whose log a test can change, also in ways in which no log should ever change.
type fakeHub struct {
	hubv1connect.UnimplementedHubServiceHandler

	mu    sync.Mutex
	id    string
	log   []*hubv1.Entry
	moved chan struct{} // closed when the log changes
	asked []*hubv1.SyncRequest
	spoil func(*hubv1.SyncResponse)
}

func newHub(t *testing.T, log []*hubv1.Entry) (*fakeHub, *client.Client) {
	t.Helper()
	hub := &fakeHub{id: "hub-1", log: log, moved: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(hubv1connect.NewHubServiceHandler(hub))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.CloseClientConnections)
	c, err := client.New(client.Config{Addresses: []string{server.URL}, Token: "ctx_cli_test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return hub, c
}

// become changes identity and log at once.
func (h *fakeHub) become(id string, log []*hubv1.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id, h.log = id, log
	close(h.moved)
	h.moved = make(chan struct{})
}

func (h *fakeHub) look() (string, []*hubv1.Entry, chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.id, h.log, h.moved
}

// spoilt has a function change every answer to Sync.
func (h *fakeHub) spoilt(by func(*hubv1.SyncResponse)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spoil = by
}

func (h *fakeHub) answer(msg *hubv1.SyncResponse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.spoil != nil {
		h.spoil(msg)
	}
}

// requests returns what Sync was asked since the last time.
func (h *fakeHub) requests() []*hubv1.SyncRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

// read returns up to ten sequences' worth of entries.
func read(log []*hubv1.Entry, types []string, after, until uint64) ([]*hubv1.Entry, uint64) {
	end := min(after+10, until)
	var found []*hubv1.Entry
	for _, e := range log[min(after, end):end] {
		if slices.Contains(types, e.Type) {
			found = append(found, e)
		}
	}
	return found, end
}

func (h *fakeHub) Sync(_ context.Context, req *hubv1.SyncRequest, stream *connect.ServerStream[hubv1.SyncResponse]) error {
	id, log, _ := h.look()
	h.mu.Lock()
	h.asked = append(h.asked, req)
	h.mu.Unlock()
	head := uint64(len(log))
	if req.Until > 0 {
		head = min(head, req.Until)
	}
	for cursor := req.After; ; {
		var found []*hubv1.Entry
		if cursor < head {
			found, cursor = read(log, req.Types, cursor, head)
		}
		msg := &hubv1.SyncResponse{Entries: found, Cursor: cursor, Head: head, HubId: id}
		h.answer(msg)
		if err := stream.Send(msg); err != nil || cursor >= head {
			return err
		}
	}
}

func (h *fakeHub) Listen(ctx context.Context, req *hubv1.ListenRequest, stream *connect.ServerStream[hubv1.ListenResponse]) error {
	started, _, _ := h.look()
	for cursor := req.After; ; {
		id, log, moved := h.look()
		if id != started { // a hub that is replaced was stopped before
			return connect.NewError(connect.CodeUnavailable, nil)
		}
		head := uint64(len(log))
		var found []*hubv1.Entry
		if cursor < head {
			found, cursor = read(log, req.Types, cursor, head)
		}
		if err := stream.Send(&hubv1.ListenResponse{Entries: found, Cursor: cursor, Head: head, HubId: id}); err != nil {
			return err
		}
		if cursor < head {
			continue
		}
		select {
		case <-moved:
		case <-time.After(50 * time.Millisecond): // a heartbeat
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
