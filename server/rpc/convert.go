package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/hub"
)

// toProto converts a batch with few allocations: there are millions of entries in a catch-up.
func toProto(entries []hub.Entry) []*hubv1.Entry {
	if len(entries) == 0 {
		return nil
	}
	type message struct {
		entry hubv1.Entry
		time  timestamppb.Timestamp
	}
	messages := make([]message, len(entries))
	out := make([]*hubv1.Entry, len(entries))
	for i := range entries {
		e, m := &entries[i], &messages[i]
		m.time.Seconds, m.time.Nanos = e.Timestamp.Unix(), int32(e.Timestamp.Nanosecond()) //nolint:gosec // < 1e9
		m.entry.Sequence, m.entry.Id, m.entry.Type = e.Sequence, e.ID, string(e.Type)
		m.entry.Content, m.entry.Origin, m.entry.Timestamp = e.Content, e.Origin, &m.time
		if e.Meta != (hub.Meta{}) {
			m.entry.Meta = &hubv1.Meta{
				DisplayName: e.Meta.DisplayName, Host: e.Meta.Host, Tool: e.Meta.Tool, Via: e.Meta.Via,
			}
		}
		out[i] = &m.entry
	}
	return out
}

// fromProto stamps origin and time on what a project publishes.
func fromProto(entries []*hubv1.NewEntry, origin string, now time.Time) []hub.Entry {
	out := make([]hub.Entry, len(entries))
	for i, e := range entries {
		out[i] = hub.Entry{
			ID: e.GetId(), Type: hub.Type(e.GetType()), Content: e.GetContent(), Origin: origin, Timestamp: now,
			Meta: hub.Meta{
				DisplayName: e.GetMeta().GetDisplayName(), Host: e.GetMeta().GetHost(),
				Tool: e.GetMeta().GetTool(), Via: e.GetMeta().GetVia(),
			},
		}
	}
	return out
}
