//go:build linux

package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
	"ctxhub/server/hub"
	"ctxhub/server/metrics"
	"ctxhub/server/rpc"
	"ctxhub/server/store"
)

// The benchmarks measure each figure against this machine's own limit in the same run, in turns, and report the
// ratio: absolute times drift by a factor of two from run to run. docs/performance.md has the figures.

var text400 = strings.Repeat("what was learned, and why.\n", 15)[:400]

var nextID atomic.Uint64

func benchEntry() *hubv1.NewEntry {
	return &hubv1.NewEntry{Id: fmt.Sprintf("bench-%016x", nextID.Add(1)), Type: "learning", Content: text400}
}

// rate runs work in n goroutines for d and returns how many units a second they did; work returns its units.
func rate(b *testing.B, n int, d time.Duration, work func(worker int) (int, error)) float64 {
	b.Helper()
	end := make(chan struct{})
	time.AfterFunc(d, func() { close(end) })
	return rateUntil(b, n, end, work)
}

// rateUntil is rate that ends when end is closed.
func rateUntil(b *testing.B, n int, end <-chan struct{}, work func(worker int) (int, error)) float64 {
	b.Helper()
	var done atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range n {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				units, err := work(w)
				if err != nil {
					b.Error(err)
					return
				}
				done.Add(int64(units))
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds()
}

// compare measures two rates in turns and reports both medians and their ratio.
func compare(b *testing.B, what string, ours func() float64, limitName string, limit func() float64) {
	b.Helper()
	var a, l, ratios []float64
	ours() // warm up
	limit()
	for b.Loop() {
		x, y := ours(), limit()
		a, l, ratios = append(a, x), append(l, y), append(ratios, x/y)
	}
	b.ReportMetric(median(a), what+"/s")
	b.ReportMetric(median(l), limitName+"/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// noop is the seam with nothing behind it.
type noop struct{ *store.Store }

func (noop) Append(_ context.Context, entries []hub.Entry) ([]uint64, error) {
	return make([]uint64, len(entries)), nil
}

// startNoop serves the hub's own stack (authentication, limits, decoding, validation), only that a publish is not
// stored: what is left is what any unary call costs.
func startNoop(b *testing.B, token string) (url string) {
	b.Helper()
	c, err := Config{DataDir: filepath.Join(b.TempDir(), "data"), Bind: "127.0.0.1"}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(c.DataDir, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Register(b.Context(), hub.Project{ID: "1", Name: "api", Token: hub.HashToken(token)}, hub.TokenHash{}); err != nil {
		b.Fatal(err)
	}
	l, err := listen(b.Context(), &c)
	if err != nil {
		b.Fatal(err)
	}
	h := newHTTPServer(rpc.NewHandler(rpc.Options{
		Store: s, Writer: noop{s}, AdminToken: "ctx_adm_x", Started: time.Now(), Heartbeat: c.Heartbeat,
		MaxStreams: c.MaxStreams, MaxStreamsPerProject: c.MaxStreamsPerProject, Draining: make(chan struct{}), Metrics: metrics.New("bench"), Log: c.Log,
	}), c.Log)
	go func() { _ = h.Serve(l) }()
	b.Cleanup(func() { _ = h.Close() })
	return "http://" + l.Addr().String()
}

func publisher(c hubv1connect.HubServiceClient, batch int) func(int) (int, error) {
	return func(int) (int, error) {
		req := &hubv1.PublishRequest{}
		for range batch {
			req.Entries = append(req.Entries, benchEntry())
		}
		_, err := c.Publish(context.Background(), req)
		return batch, err
	}
}

func BenchmarkPublish64(b *testing.B) {
	r, httpC := start(b, nil), httpClient(b, true)
	token := r.join(b, "api")
	ours := publisher(r.projectClient(httpC, token, connect.WithGRPC()), 1)
	none := publisher(hubv1connect.NewHubServiceClient(httpC, startNoop(b, token), connect.WithGRPC(), bearer(token)), 1)
	compare(b, "publishes", func() float64 { return rate(b, 64, time.Second, ours) },
		"noops", func() float64 { return rate(b, 64, time.Second, none) })
}

func BenchmarkClientPublish64(b *testing.B) {
	r := start(b, nil)
	c, err := client.New(client.Config{Addresses: []string{r.url}, Token: r.join(b, "api")})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	bare := newBareLog(b)
	compare(b, "publishes", func() float64 {
		return rate(b, 64, time.Second, func(int) (int, error) {
			_, err := c.Publish(context.Background(), benchEntry())
			return 1, err
		})
	}, "bare", func() float64 { return bare.rate(time.Second, 64) })
}

// BenchmarkPublish16x64 takes two bare loops for comparison: groups of one publisher's batch, and of all of them.
func BenchmarkPublish16x64(b *testing.B) {
	for name, group := range map[string]int{"bare64": 64, "bare1024": 16 * 64} {
		b.Run(name, func(b *testing.B) {
			r := start(b, nil)
			ours := publisher(r.projectClient(httpClient(b, true), r.join(b, "api"), connect.WithGRPC()), 64)
			bare := newBareLog(b)
			compare(b, "entries", func() float64 { return rate(b, 16, time.Second, ours) },
				name, func() float64 { return bare.rate(time.Second, group) })
		})
	}
}

func BenchmarkPublish1(b *testing.B) {
	r := start(b, nil)
	ours := publisher(r.projectClient(httpClient(b, true), r.join(b, "api"), connect.WithGRPC()), 1)
	bare := newBareLog(b)
	compare(b, "publishes", func() float64 { return rate(b, 1, time.Second, ours) },
		"bare", func() float64 { return bare.rate(time.Second, 1) })
}

// bareLog is what the disk can do: append the same bytes and fdatasync, with nothing around it.
type bareLog struct {
	b    *testing.B
	file *os.File
}

func newBareLog(b *testing.B) *bareLog {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "bare"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return &bareLog{b, f}
}

// rate appends groups of the given number of records for d, and returns records a second.
func (l *bareLog) rate(d time.Duration, group int) float64 {
	record := []byte(strings.Repeat("x", 640) + "\n") // as long as a line of the log
	buf := slices.Repeat(record, group)
	return rate(l.b, 1, d, func(int) (int, error) {
		if _, err := l.file.Write(buf); err != nil {
			return 0, err
		}
		return group, syscall.Fdatasync(int(l.file.Fd()))
	})
}

// fillStore writes n entries of 400 bytes into a data directory.
func fillStore(b *testing.B, dir string, n int) {
	b.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for done := 0; done < n; {
		batch := make([]hub.Entry, min(4096, n-done))
		for i := range batch {
			done++
			batch[i] = hub.Entry{
				ID: fmt.Sprintf("fill-%024d", done), Type: hub.Types[done%4], Content: text400,
				Origin: "api", Timestamp: time.Now().UTC(),
			}
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCatchUp(b *testing.B) {
	const n = 200_000
	dir := filepath.Join(b.TempDir(), "data")
	fillStore(b, dir, n)
	r := start(b, func(c *Config) { c.DataDir = dir })
	c, err := client.New(client.Config{Addresses: []string{r.url}, Token: r.join(b, "api")})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var rates []float64
	for b.Loop() {
		begin, got := time.Now(), 0
		for m, err := range c.Sync(b.Context(), &hubv1.SyncRequest{}) {
			if err != nil {
				b.Fatal(err)
			}
			got += len(m.GetEntries())
		}
		if got != n {
			b.Fatalf("got %d entries", got)
		}
		rates = append(rates, n/time.Since(begin).Seconds())
	}
	b.ReportMetric(median(rates), "entries/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLast256 measures from the start of a publish until the last of 256 live listeners has the entry.
func BenchmarkLast256(b *testing.B) {
	const listeners = 256
	r := start(b, func(c *Config) { c.MaxStreamsPerProject = listeners })
	token := r.join(b, "api")
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	defer wg.Wait()
	defer cancel()
	arrived := make(chan uint64, listeners)
	for i := range listeners {
		if i%64 == 0 { // as if from so many processes: 64 listeners share a connection
			time.Sleep(10 * time.Millisecond)
		}
		wg.Go(func() { listenInto(ctx, b, r, token, i, arrived) })
	}
	for range listeners { // the first message of each
		<-arrived
	}
	publish := publisher(r.projectClient(httpClient(b, true), token, connect.WithGRPC()), 1)
	var took []float64
	for b.Loop() {
		begin := time.Now()
		if _, err := publish(0); err != nil {
			b.Fatal(err)
		}
		for range listeners {
			<-arrived
		}
		took = append(took, float64(time.Since(begin).Microseconds())/1000)
	}
	b.ReportMetric(median(took), "ms-median")
	b.ReportMetric(took[len(took)*99/100], "ms-p99")
}

var (
	sharedMu sync.Mutex
	shared   = map[string]*http.Client{}
)

func sharedClient(b *testing.B, r *running, i int) *http.Client {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	key := fmt.Sprint(r.url, i/64)
	if shared[key] == nil {
		shared[key] = httpClient(b, true)
	}
	return shared[key]
}

func listenInto(ctx context.Context, b *testing.B, r *running, token string, i int, arrived chan<- uint64) {
	c := r.projectClient(sharedClient(b, r, i), token, connect.WithGRPC())
	stream, err := c.Listen(ctx, &hubv1.ListenRequest{})
	if err != nil {
		b.Error(err)
		return
	}
	for first := true; stream.Receive(); first = false {
		if n := len(stream.Msg().GetEntries()); first || n > 0 {
			arrived <- stream.Msg().GetCursor()
		}
	}
}

// BenchmarkIdleListeners measures the hub's heap and stacks for 1,000 idle listeners. Their clients are in a
// process of their own.
func BenchmarkIdleListeners(b *testing.B) {
	const listeners = 1000
	for b.Loop() {
		r := start(b, func(c *Config) { c.MaxStreamsPerProject = listeners })
		token := r.join(b, "api")
		before := inUse()
		stop := listenElsewhere(b, r.url, token, listeners)
		for {
			local := r.projectClient(httpClient(b, true), token)
			s, err := local.Status(b.Context(), &hubv1.StatusRequest{})
			if err != nil {
				b.Fatal(err)
			}
			if s.GetListeners() == listeners {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(500 * time.Millisecond)
		b.ReportMetric(float64(inUse()-before)/listeners/1024, "KB/listener")
		stop()
		if err := r.stop(); err != nil {
			b.Fatal(err)
		}
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func BenchmarkOpenMillion(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	fillStore(b, dir, 1_000_000)
	var seconds, perEntry []float64
	for b.Loop() {
		before := heap()
		begin := time.Now()
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		seconds = append(seconds, time.Since(begin).Seconds())
		perEntry = append(perEntry, float64(heap()-before)/1e6)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(median(seconds), "s")
	b.ReportMetric(median(perEntry), "heap-B/entry")
	b.ReportMetric(0, "ns/op")
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkPublishAtMillionAgainstEmpty(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	fillStore(b, dir, 1_000_000)
	full, empty := start(b, func(c *Config) { c.DataDir = dir }), start(b, nil)
	httpC := httpClient(b, true)
	atMillion := publisher(full.projectClient(httpC, full.join(b, "api"), connect.WithGRPC()), 1)
	atZero := publisher(empty.projectClient(httpC, empty.join(b, "api"), connect.WithGRPC()), 1)
	compare(b, "at-million", func() float64 { return rate(b, 64, time.Second, atMillion) },
		"at-zero", func() float64 { return rate(b, 64, time.Second, atZero) })
}
