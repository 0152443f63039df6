package cli

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// publishRate is what some publishers at once reach, each with a connection of its own and one entry at a time.
type publishRate struct {
	Publishers       int       `json:"publishers"`
	Entries          int       `json:"entries"`
	EntriesPerSecond float64   `json:"entries_per_second"`
	P50              float64   `json:"p50_seconds"` // until the acknowledgement
	P99              float64   `json:"p99_seconds"`
	Disk             *diskRate `json:"disk"`  // null if it is elsewhere
	Ratio            float64   `json:"ratio"` // of the hub's rate to the disk's; 0 without one
}

func (b *bench) publish(ctx context.Context, n int, d time.Duration) (publishRate, error) {
	clients, err := b.clients(ctx, n)
	defer closeAll(clients)
	if err != nil {
		return publishRate{}, err
	}
	var (
		mu     sync.Mutex
		all    []time.Duration
		failed error
		spent  atomic.Int64
		work   sync.WaitGroup
	)
	begun := time.Now()
	for _, c := range clients {
		work.Go(func() {
			var took []time.Duration
			var err error
			for err == nil && time.Since(begun) < d && ctx.Err() == nil && b.may(spent.Add(1), liveEntries) {
				at := time.Now()
				if _, err = c.Publish(ctx, b.entry()); err == nil {
					took = append(took, time.Since(at))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), firstOf(failed, err)
		})
	}
	work.Wait()
	elapsed := time.Since(begun).Seconds()
	if failed == nil && len(all) == 0 {
		failed = errNothingDone
	}
	if failed != nil {
		return publishRate{}, failed
	}
	r := publishRate{Publishers: n, Entries: len(all), EntriesPerSecond: float64(len(all)) / elapsed}
	r.P50, r.P99 = quantiles(all)
	return r, nil
}

// may says whether the bench may write one more entry.
func (b *bench) may(spent, limit int64) bool { return b.own() || spent <= limit }

func (b *bench) entry() *hubv1.NewEntry {
	return &hubv1.NewEntry{Id: client.NewID(), Type: "task", Content: b.text, Meta: &hubv1.Meta{Tool: "ctx hub bench"}}
}

// clients are connected already: a handshake is not what is to be measured.
func (b *bench) clients(ctx context.Context, n int) ([]*client.Client, error) {
	var all []*client.Client
	for range n {
		c, err := client.New(b.config)
		if err != nil {
			return all, err
		}
		all = append(all, c)
		if _, err := c.Status(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

func closeAll(clients []*client.Client) {
	for _, c := range clients {
		c.Close()
	}
}

// syncRate is how quickly one reader catches up.
type syncRate struct {
	Entries          int     `json:"entries"`
	EntriesPerSecond float64 `json:"entries_per_second"`
	BytesPerSecond   float64 `json:"bytes_per_second"` // of text
}

// sync reads what the bench has published, from its beginning, again and again.
func (b *bench) sync(ctx context.Context, d time.Duration, r *syncRate) error {
	clients, err := b.clients(ctx, 1)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	bytes, begun := 0, time.Now()
	for time.Since(begun) < d || r.Entries == 0 {
		got := r.Entries
		for res, err := range clients[0].Sync(ctx, &hubv1.SyncRequest{After: b.before}) {
			if err != nil {
				return err
			}
			for _, e := range res.GetEntries() {
				r.Entries++
				bytes += len(e.GetContent())
			}
			if time.Since(begun) >= d && r.Entries > 0 {
				break
			}
		}
		if r.Entries == got {
			return errors.New("the hub does not give out what was published")
		}
	}
	elapsed := time.Since(begun).Seconds()
	r.EntriesPerSecond, r.BytesPerSecond = float64(r.Entries)/elapsed, float64(bytes)/elapsed
	return nil
}

// listenRate is how long it takes from a publish until the last of some listeners has the entry.
type listenRate struct {
	Listeners int     `json:"listeners"`
	Entries   int     `json:"entries"`
	P50       float64 `json:"p50_seconds"`
	P99       float64 `json:"p99_seconds"`
	Publish   float64 `json:"publish_p50_seconds"` // until the acknowledgement of the same entries
}

// heard says that a listener has everything up to a sequence.
type heard struct {
	listener int
	cursor   uint64
	err      error
}

func (b *bench) listen(ctx context.Context, n int, d time.Duration, r *listenRate) error {
	clients, err := b.clients(ctx, n+1)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := make(chan heard, n)
	status, err := clients[n].Status(ctx)
	if err != nil {
		return err
	}
	for i := range n {
		go follow(ctx, clients[i], i, status.GetHead(), news)
	}
	has := make([]uint64, n)
	if err := hearAll(ctx, news, has, 0); err != nil { // each has its stream
		return err
	}
	var last, acknowledged []time.Duration
	begun := time.Now()
	for (time.Since(begun) < d || len(last) == 0) && b.may(int64(len(last)), liveHeard-1) {
		at := time.Now()
		sequences, err := clients[n].Publish(ctx, b.entry())
		if err != nil {
			return err
		}
		acknowledged = append(acknowledged, time.Since(at))
		if err := hearAll(ctx, news, has, sequences[0]); err != nil {
			return err
		}
		last = append(last, time.Since(at))
	}
	r.Listeners, r.Entries = n, len(last)
	r.P50, r.P99 = quantiles(last)
	r.Publish, _ = quantiles(acknowledged)
	return nil
}

func follow(ctx context.Context, c *client.Client, listener int, after uint64, news chan<- heard) {
	for res, err := range c.Listen(ctx, &hubv1.ListenRequest{After: after}) {
		select {
		case news <- heard{listener, res.GetCursor(), err}:
		case <-ctx.Done():
			return
		}
	}
}

// hearAll waits until every listener has the sequence; with 0, until each has said something.
func hearAll(ctx context.Context, news <-chan heard, has []uint64, sequence uint64) error {
	missing := map[int]bool{}
	for i, cursor := range has {
		if sequence == 0 || cursor < sequence {
			missing[i] = true
		}
	}
	for len(missing) > 0 {
		select {
		case h := <-news:
			if h.err != nil {
				return h.err
			}
			has[h.listener] = max(has[h.listener], h.cursor)
			if h.cursor >= sequence {
				delete(missing, h.listener)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// quantiles returns, in seconds, what half and what 99 of 100 took at most. It sorts.
func quantiles(took []time.Duration) (p50, p99 float64) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	at := func(percent int) float64 { return took[(len(took)-1)*percent/100].Seconds() }
	return at(50), at(99)
}
