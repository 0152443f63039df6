package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/hub"
	"ctxhub/server/store"
)

// hubService is what a project may do.
type hubService struct {
	store     *store.Store
	writer    hub.Writer
	auth      *auth
	limit     *streamLimit
	heartbeat time.Duration
	draining  <-chan struct{}
	version   string
	started   time.Time
	listeners atomic.Int32
}

func (h *hubService) Publish(ctx context.Context, req *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	entries := fromProto(req.GetEntries(), callerOf(ctx).project.Name, time.Now().UTC())
	if err := hub.ValidateBatch(entries); err != nil {
		return nil, err
	}
	sequences, err := h.writer.Append(ctx, entries)
	if err != nil {
		return nil, err
	}
	return &hubv1.PublishResponse{Sequences: sequences}, nil
}

func (h *hubService) Sync(ctx context.Context, req *hubv1.SyncRequest, stream *connect.ServerStream[hubv1.SyncResponse]) error {
	head, _ := h.store.Head()
	until := req.GetUntil()
	if until == 0 {
		until = head
	}
	return h.read(ctx, reader{after: req.GetAfter(), until: until, skip: req.GetSkipMissing()}, req.GetTypes(), func(m message) error {
		return stream.Send(&hubv1.SyncResponse{
			Entries: toProto(m.Entries), Cursor: m.Cursor, Head: m.head, HubId: h.store.HubID(), Sum: m.Sum, AfterSum: m.AfterSum, Skipped: m.skipped,
		})
	})
}

func (h *hubService) Listen(ctx context.Context, req *hubv1.ListenRequest, stream *connect.ServerStream[hubv1.ListenResponse]) error {
	h.listeners.Add(1)
	defer h.listeners.Add(-1)
	return h.read(ctx, reader{after: req.GetAfter(), follow: true, skip: req.GetSkipMissing()}, req.GetTypes(), func(m message) error {
		return stream.Send(&hubv1.ListenResponse{
			Entries: toProto(m.Entries), Cursor: m.Cursor, Head: m.head, HubId: h.store.HubID(), Sum: m.Sum, AfterSum: m.AfterSum, Skipped: m.skipped,
		})
	})
}

func (h *hubService) read(ctx context.Context, r reader, types []string,
	send func(m message) error,
) (err error) {
	r.hub, r.caller, r.send = h, callerOf(ctx), send
	if r.types, err = store.NewTypeSet(types); err != nil {
		return err
	}
	leave, err := h.limit.enter(r.caller.project.Name)
	if err != nil {
		return err
	}
	defer leave()
	if head, _ := h.store.Head(); r.after > head || r.until > head {
		// The log is shorter than the reader remembers: it was restored, or is another's. The message tells a
		// program by its head and hub_id, the error tells a person.
		if err := send(message{Batch: store.Batch{Cursor: r.after}, head: head}); err != nil {
			return err
		}
		return hub.Refuse(hub.ErrPastHead, "the last entry is %d, but the reader asks for what is around %d: this is another hub, or one restored to an earlier point",
			head, max(r.after, r.until))
	}
	return r.run(ctx)
}

func (h *hubService) Status(ctx context.Context, _ *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	head, _ := h.store.Head()
	free, err := store.DiskFree(h.store.Dir())
	if err != nil {
		return nil, err
	}
	byType := make(map[string]uint64, len(hub.Types))
	for _, t := range hub.Types {
		byType[string(t)] = 0
	}
	for t, n := range h.store.Counts() {
		byType[string(t)] = n
	}
	return &hubv1.StatusResponse{
		HubId:         h.store.HubID(),
		Version:       h.version,
		Role:          "leader",
		Project:       callerOf(ctx).project.Name,
		Head:          head,
		Entries:       head + 1 - h.store.Oldest(),
		EntriesByType: byType,
		Listeners:     uint32(max(h.listeners.Load(), 0)),
		StartedAt:     timestamppb.New(h.started),
		DiskFreeBytes: free,
		Degraded:      h.store.Degraded(),
		Now:           timestamppb.Now(),
		Oldest:        h.store.Oldest(),
		LogBytes:      h.store.LogBytes(),
	}, nil
}
