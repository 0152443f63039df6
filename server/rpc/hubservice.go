package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/hub"
	"ctxhub/server/metrics"
	"ctxhub/server/store"
)

// hubService is what a project may do.
type hubService struct {
	store     *store.Store
	writer    hub.Writer
	auth      *auth
	streams   *openStreams
	metrics   *metrics.Metrics
	reserve   uint64
	heartbeat time.Duration
	draining  <-chan struct{}
	version   string
	started   time.Time
}

func (h *hubService) Publish(ctx context.Context, req *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	begun := time.Now()
	entries := fromProto(req.GetEntries(), callerOf(ctx).project.Name, begun.UTC())
	if err := hub.ValidateBatch(entries); err != nil {
		return nil, err
	}
	sequences, err := h.writer.Append(ctx, entries)
	if err != nil {
		return nil, err
	}
	h.metrics.Published(time.Since(begun))
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
	r.place = &place{follow: r.follow}
	r.place.cursor.Store(r.after)
	leave, err := h.streams.enter(r.caller.project.Name, r.place)
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
