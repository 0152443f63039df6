package project

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

	bare   bool   // an earlier version, which tells no sums
	gone   uint64 // entries up to here were taken out of the archive
	refuse func([]*hubv1.NewEntry) error
	stored int // entries that Publish was asked to store
}

// chain is the sum at each cursor of a log.
func chain(log []*hubv1.Entry) []string {
	sums := make([]string, len(log)+1)
	for i, e := range log {
		sum := sha256.Sum256(fmt.Append(nil, sums[i], e.Id, e.Type, e.Origin, e.Timestamp.GetSeconds(), e.Content))
		sums[i+1] = hex.EncodeToString(sum[:])
	}
	return sums
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

func (h *fakeHub) extend(entries ...*hubv1.Entry) {
	h.log = append(slices.Clone(h.log), entries...)
	close(h.moved)
	h.moved = make(chan struct{})
}

// takeAway makes the archive up to a sequence gone.
func (h *fakeHub) takeAway(gone uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = gone
}

func (h *fakeHub) Status(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &hubv1.StatusResponse{HubId: h.id, Head: uint64(len(h.log)), Oldest: h.gone + 1}, nil
}

func (h *fakeHub) Publish(_ context.Context, req *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored += len(req.Entries)
	if h.refuse != nil {
		if err := h.refuse(req.Entries); err != nil {
			return nil, err
		}
	}
	res := &hubv1.PublishResponse{}
	for _, e := range req.Entries {
		at := slices.IndexFunc(h.log, func(old *hubv1.Entry) bool { return old.Id == e.Id })
		if at >= 0 && h.log[at].Content != e.Content {
			return nil, connect.NewError(connect.CodeAlreadyExists, errors.New("the id is taken"))
		}
		if at < 0 {
			at = len(h.log)
			added := entry(uint64(at+1), e.Type, e.Content)
			added.Id, added.Origin = e.Id, "own"
			added.Timestamp.Seconds++ // no two entries of a real log have one sum
			h.extend(added)
		}
		res.Sequences = append(res.Sequences, uint64(at+1))
	}
	return res, nil
}

// begin is where a reader's stream begins, and up to where it skips for that.
func (h *fakeHub) begin(after uint64, skip bool) (from, skipped uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case after >= h.gone:
		return after, 0, nil
	case skip:
		return h.gone, h.gone, nil
	}
	return 0, 0, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("entries up to %d were taken away", h.gone))
}

// sums of a log, if this hub tells them.
func (h *fakeHub) sums(log []*hubv1.Entry) func(uint64) string {
	if h.bare {
		return func(uint64) string { return "" }
	}
	sums := chain(log)
	return func(at uint64) string {
		if at >= uint64(len(sums)) { // of a cursor behind the head, which this log never had
			return ""
		}
		return sums[at]
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
	cursor, skipped, err := h.begin(req.After, req.SkipMissing)
	if err != nil {
		return err
	}
	head, sum := uint64(len(log)), h.sums(log)
	if req.Until > 0 {
		head = min(head, req.Until)
	}
	for {
		var found []*hubv1.Entry
		from := cursor
		if cursor < head {
			found, cursor = read(log, req.Types, cursor, head)
		}
		msg := &hubv1.SyncResponse{Entries: found, Cursor: cursor, Head: head, HubId: id, Sum: sum(cursor), AfterSum: sum(from), Skipped: skipped}
		skipped = 0
		h.answer(msg)
		if err := stream.Send(msg); err != nil || cursor >= head {
			return err
		}
	}
}

func (h *fakeHub) Listen(ctx context.Context, req *hubv1.ListenRequest, stream *connect.ServerStream[hubv1.ListenResponse]) error {
	started, before, _ := h.look()
	cursor, skipped, err := h.begin(req.After, req.SkipMissing)
	if err != nil {
		return err
	}
	for {
		id, log, moved := h.look()
		// A hub that is replaced or restored was stopped before.
		if id != started || len(log) >= len(before) && h.sums(log)(uint64(len(before))) != h.sums(before)(uint64(len(before))) {
			return connect.NewError(connect.CodeUnavailable, nil)
		}
		head, sum := uint64(len(log)), h.sums(log)
		var found []*hubv1.Entry
		from := cursor
		if cursor < head {
			found, cursor = read(log, req.Types, cursor, head)
		}
		msg := &hubv1.ListenResponse{Entries: found, Cursor: cursor, Head: head, HubId: id, Sum: sum(cursor), AfterSum: sum(from), Skipped: skipped}
		if err := stream.Send(msg); err != nil {
			return err
		}
		before, skipped = log, 0
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
