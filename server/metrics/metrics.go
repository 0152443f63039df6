package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The limits that callers can meet, as they stand in the label of ctxhub_limits_hit_total.
const (
	LimitSize              = "size" // of an entry, a batch or a message
	LimitStreams           = "streams"
	LimitStreamsPerProject = "streams_per_project"
)

var limits = []string{LimitSize, LimitStreams, LimitStreamsPerProject}

// Scrapes at once: each looks at every open stream, and nobody needs more.
const maxScrapes = 4

// Metrics is what one process of a hub has done since it began. Its methods may be called at once.
type Metrics struct {
	registry     *prometheus.Registry
	publish      prometheus.Histogram
	fsync        prometheus.Histogram
	commit       prometheus.Histogram
	authFailures prometheus.Counter
	limitsHit    *prometheus.CounterVec
}

// New makes the metrics of a process that begins now.
func New(version string) *Metrics {
	histogram := func(name, help string, first float64, n int) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(first, 2, n),
		})
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		publish: histogram("ctxhub_publish_duration_seconds",
			"Time from a publish call's arrival to its answer, for calls that were stored.", 0.0005, 16),
		fsync: histogram("ctxhub_fsync_duration_seconds",
			"Time the disk took to sync a group commit.", 0.0001, 16),
		commit: histogram("ctxhub_commit_entries",
			"Entries that were written and synced together.", 1, 13),
		authFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ctxhub_auth_failures_total", Help: "Calls refused because their token is missing or not valid.",
		}),
		limitsHit: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ctxhub_limits_hit_total", Help: "Calls refused by a limit.",
		}, []string{"limit"}),
	}
	// A rate needs a first value of 0 to see the first refusal.
	for _, limit := range limits {
		m.limitsHit.WithLabelValues(limit)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ctxhub_build_info", Help: "1, labelled with the version of the hub's program.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.publish, m.fsync, m.commit, m.authFailures, m.limitsHit, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Published is told of each publish call that was stored.
func (m *Metrics) Published(took time.Duration) { m.publish.Observe(took.Seconds()) }

// Committed is told of each group commit.
func (m *Metrics) Committed(entries int, sync time.Duration) {
	m.commit.Observe(float64(entries))
	m.fsync.Observe(sync.Seconds())
}

// AuthFailed is told of each call that is refused for its token.
func (m *Metrics) AuthFailed() { m.authFailures.Inc() }

// LimitHit is told of each call that one of the limits refuses.
func (m *Metrics) LimitHit(limit string) { m.limitsHit.WithLabelValues(limit).Inc() }

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}
