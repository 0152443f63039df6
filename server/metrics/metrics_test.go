package metrics

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	text, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d, %v\n%s", w.Code, err, text)
	}
	return string(text)
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !strings.Contains("\n"+text, "\n"+want+"\n") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestWhatIsToldIsShown(t *testing.T) {
	m := New("v1")
	state := State{
		Started: time.Unix(1000, 5e8), Head: 30, LogBytes: 4096, Entries: map[string]uint64{"task": 30, "decision": 0},
		TakesEntries: true, DiskFree: 1 << 30, DiskReserve: 64 << 20, Syncs: 1, Lags: []uint64{0, 0, 7, 1_000_000_000},
	}
	m.Show(func() State { return state })
	m.Published(3 * time.Millisecond)
	m.Committed(2, 150*time.Microsecond)
	m.Committed(28, 150*time.Microsecond)
	m.AuthFailed()
	m.LimitHit(LimitStreams)
	wantLines(t, scrape(t, m),
		`ctxhub_build_info{version="v1"} 1`, "ctxhub_start_time_seconds 1000.5",
		"ctxhub_head_sequence 30", "ctxhub_log_size_bytes 4096", `ctxhub_entries{type="task"} 30`, `ctxhub_entries{type="decision"} 0`,
		"ctxhub_takes_entries 1", "ctxhub_disk_free_bytes 1.073741824e+09", "ctxhub_disk_reserve_bytes 6.7108864e+07",
		`ctxhub_streams{method="listen"} 4`, `ctxhub_streams{method="sync"} 1`, "ctxhub_listener_max_lag_entries 1e+09",
		`ctxhub_listener_lag_entries_bucket{le="0"} 2`, `ctxhub_listener_lag_entries_bucket{le="1"} 2`,
		`ctxhub_listener_lag_entries_bucket{le="10"} 3`, `ctxhub_listener_lag_entries_bucket{le="1e+06"} 3`,
		`ctxhub_listener_lag_entries_bucket{le="+Inf"} 4`,
		`ctxhub_publish_duration_seconds_bucket{le="0.002"} 0`, `ctxhub_publish_duration_seconds_bucket{le="0.004"} 1`,
		`ctxhub_fsync_duration_seconds_count 2`, `ctxhub_commit_entries_sum 30`, `ctxhub_commit_entries_bucket{le="2"} 1`,
		"ctxhub_auth_failures_total 1", `ctxhub_limits_hit_total{limit="streams"} 1`, `ctxhub_limits_hit_total{limit="size"} 0`,
	)
	// How it is now is asked at each scrape. A full disk is shown; one that is not known is left out.
	state = State{Head: 31}
	wantLines(t, scrape(t, m), "ctxhub_head_sequence 31", "ctxhub_takes_entries 0", "ctxhub_disk_free_bytes 0",
		`ctxhub_listener_lag_entries_count 0`)
	state = State{DiskUnknown: true}
	if text := scrape(t, m); strings.Contains(text, "disk_free") || !strings.Contains(text, "go_goroutines") {
		t.Error(text)
	}
}

func TestActivity(t *testing.T) {
	m := New("v1")
	if a := m.Activity(); a != (Activity{}) {
		t.Errorf("of a hub that has done nothing: %+v", a)
	}
	for range 98 {
		m.Published(1500 * time.Microsecond) // in the bucket from 1 to 2 ms
	}
	m.Published(100 * time.Millisecond) // from 64 to 128 ms
	m.Published(time.Hour)              // beyond all buckets
	m.Committed(10, 300*time.Microsecond)
	m.Committed(5, 300*time.Microsecond)
	m.AuthFailed()
	m.LimitHit(LimitSize)
	m.LimitHit(LimitStreamsPerProject)
	a := m.Activity()
	if a.Published != 15 || a.EntriesPerSync != 7.5 || a.AuthFailures != 1 || a.LimitsHits != 2 {
		t.Errorf("%+v", a)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > want/1000 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	near("half of the publishes", a.PublishP50, 0.001+0.001*50/98)
	near("99 of 100 publishes", a.PublishP99, 0.128)
	near("half of the syncs", a.SyncP50, 0.0003)
	near("99 of 100 syncs", a.SyncP99, 0.0002+0.0002*0.99)
	near("beyond the last bucket", quantile(1, histogramOf(m.publish)), 0.0005*math.Pow(2, 15))
}

// What calls tell, and scrapes and Status ask, comes at once.
func TestAtOnce(t *testing.T) {
	m := New("v1")
	m.Show(func() State { return State{Lags: []uint64{1}} })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				m.Published(time.Millisecond)
				m.Committed(1, time.Millisecond)
				m.AuthFailed()
				m.LimitHit(LimitSize)
				m.Activity()
			}
		})
		all.Go(func() { scrape(t, m) })
	}
	all.Wait()
	if a := m.Activity(); a.Published != 200 || a.AuthFailures != 200 || a.LimitsHits != 200 {
		t.Errorf("%+v", a)
	}
}

// Names and texts are as Prometheus wants them.
func TestNamesHaveUnits(t *testing.T) {
	m := New("v1")
	m.Show(func() State { return State{Entries: map[string]uint64{"task": 1}} })
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "ctxhub_") {
			continue
		}
		ours++
		if !strings.HasSuffix(f.GetHelp(), ".") || f.GetType().String() == "COUNTER" != strings.HasSuffix(f.GetName(), "_total") {
			t.Errorf("%s: %s", f.GetName(), f.GetHelp())
		}
		for _, metric := range f.GetMetric() {
			for _, label := range metric.GetLabel() {
				switch label.GetName() {
				case "type", "limit", "method", "version":
				default:
					t.Errorf("%s has a label %s: nothing of a project may be in one", f.GetName(), label.GetName())
				}
			}
		}
	}
	if ours < 15 {
		t.Errorf("only %d metrics", ours)
	}
}
