package client

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// countingHub answers and keeps nothing, so that what is measured is the client.
type countingHub struct{ fakeHub }

func (h *countingHub) Publish(_ context.Context, req *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	h.publishes.Add(1)
	return &hubv1.PublishResponse{Sequences: make([]uint64, len(req.GetEntries()))}, nil
}

func BenchmarkPublish(b *testing.B) {
	for name, parallel := range map[string]int{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			hub := &countingHub{}
			c := newClient(b, Config{Addresses: []string{serveOn(b, listen(b), handlerOf(hub))}})
			content := strings.Repeat("x", 400)
			work := make(chan struct{}, parallel)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range parallel {
				n := b.N / parallel
				if i < b.N%parallel {
					n++
				}
				go func() {
					for range n {
						if _, err := c.Publish(context.Background(), entry(content)); err != nil {
							b.Error(err)
						}
					}
					work <- struct{}{}
				}()
			}
			for range parallel {
				<-work
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(b.N)/float64(hub.publishes.Load()), "entries/request")
		})
	}
}

func BenchmarkSync(b *testing.B) {
	hub := &fakeHub{batch: 256}
	for range 20_000 {
		hub.add(&hubv1.NewEntry{Id: NewID(), Content: strings.Repeat("x", 400)})
	}
	c := newClient(b, Config{Addresses: []string{hub.serve(b)}})
	read := 0
	for b.Loop() {
		for m, err := range c.Sync(b.Context(), &hubv1.SyncRequest{}) {
			if err != nil {
				b.Fatal(connect.CodeOf(err), err)
			}
			read += len(m.GetEntries())
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "entries/s")
}
