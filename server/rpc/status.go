package rpc

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/hub"
	"ctxhub/server/metrics"
	"ctxhub/server/store"
)

// state is how the hub is now, for Status and for a scrape.
func (h *hubService) state() metrics.State {
	head, _ := h.store.Head()
	s := metrics.State{
		Started: h.started, Head: head, LogBytes: h.store.LogBytes(), Entries: make(map[string]uint64, len(hub.Types)),
		TakesEntries: h.store.Degraded() == "", DiskReserve: h.reserve,
	}
	for _, t := range hub.Types {
		s.Entries[string(t)] = 0
	}
	for t, n := range h.store.Counts() {
		s.Entries[string(t)] = n
	}
	free, err := store.DiskFree(h.store.Dir())
	s.DiskFree, s.DiskUnknown = free, err != nil
	s.Lags, s.Syncs = h.streams.lags(head)
	return s
}

func (h *hubService) Status(ctx context.Context, _ *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	now, did := h.state(), h.metrics.Activity()
	var behind uint64
	if len(now.Lags) > 0 {
		behind = slices.Max(now.Lags)
	}
	return &hubv1.StatusResponse{
		HubId:            h.store.HubID(),
		Version:          h.version,
		Role:             "leader",
		Project:          callerOf(ctx).project.Name,
		Head:             now.Head,
		Oldest:           h.store.Oldest(),
		Entries:          now.Head + 1 - h.store.Oldest(),
		EntriesByType:    now.Entries,
		LogBytes:         now.LogBytes,
		Listeners:        uint32(len(now.Lags)), //nolint:gosec // bounded by the limit on streams
		StartedAt:        timestamppb.New(h.started),
		DiskFreeBytes:    now.DiskFree,
		DiskReserveBytes: now.DiskReserve,
		Degraded:         h.store.Degraded(),
		Now:              timestamppb.Now(),
		Activity: &hubv1.Activity{
			Published:         did.Published,
			PublishSecondsP50: did.PublishP50, PublishSecondsP99: did.PublishP99,
			SyncSecondsP50: did.SyncP50, SyncSecondsP99: did.SyncP99,
			EntriesPerSync: did.EntriesPerSync,
			AuthFailures:   did.AuthFailures, LimitsHit: did.LimitsHits,
			MaxLag: behind,
		},
	}, nil
}
