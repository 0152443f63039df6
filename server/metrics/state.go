package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is how a hub is at one moment.
type State struct {
	Started               time.Time // when the process began to serve
	Head, LogBytes        uint64
	Entries               map[string]uint64 // by type
	TakesEntries          bool
	DiskFree, DiskReserve uint64   // bytes
	DiskUnknown           bool     // the system does not tell what is free
	Syncs                 int      // open Sync streams
	Lags                  []uint64 // of the open Listen streams: entries each is behind the head
}

// lagBounds are the upper bounds of the buckets of lags.
var lagBounds = []float64{0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	startDesc   = describe("ctxhub_start_time_seconds", "When the hub began to serve, in seconds since 1970.")
	headDesc    = describe("ctxhub_head_sequence", "Sequence of the last entry in the log.")
	logDesc     = describe("ctxhub_log_size_bytes", "Length of the log.")
	entriesDesc = describe("ctxhub_entries", "Entries in the log.", "type")
	takesDesc   = describe("ctxhub_takes_entries", "1 while the hub stores what is published, 0 while its disk keeps it from that.")
	freeDesc    = describe("ctxhub_disk_free_bytes", "Bytes left on the file system of the data directory.")
	reserveDesc = describe("ctxhub_disk_reserve_bytes", "Entries are refused when fewer bytes than this are free.")
	streamsDesc = describe("ctxhub_streams", "Open streams.", "method")
	lagDesc     = describe("ctxhub_listener_lag_entries", "Entries behind the head, over the Listen streams that are open at this moment.")
	maxLagDesc  = describe("ctxhub_listener_max_lag_entries", "Entries that the slowest open Listen stream is behind the head.")
)

// Show adds how the hub is to each scrape. state is asked once a scrape, so that the numbers of one belong together.
func (m *Metrics) Show(state func() State) { m.registry.MustRegister(collector(state)) }

type collector func() State

// Describe implements prometheus.Collector.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{startDesc, headDesc, logDesc, entriesDesc, takesDesc, freeDesc, reserveDesc, streamsDesc, lagDesc, maxLagDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(startDesc, float64(s.Started.UnixMilli())/1000)
	gauge(headDesc, float64(s.Head))
	gauge(logDesc, float64(s.LogBytes))
	for t, n := range s.Entries {
		gauge(entriesDesc, float64(n), t)
	}
	takes := 0.0
	if s.TakesEntries {
		takes = 1
	}
	gauge(takesDesc, takes)
	if !s.DiskUnknown {
		gauge(freeDesc, float64(s.DiskFree))
	}
	gauge(reserveDesc, float64(s.DiskReserve))
	gauge(streamsDesc, float64(len(s.Lags)), "listen")
	gauge(streamsDesc, float64(s.Syncs), "sync")
	count, sum, largest, buckets := spread(s.Lags)
	out <- prometheus.MustNewConstHistogram(lagDesc, count, sum, buckets)
	gauge(maxLagDesc, float64(largest))
}

// spread sorts lags into a histogram.
func spread(lags []uint64) (count uint64, sum float64, largest uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(lagBounds))
	for _, bound := range lagBounds {
		buckets[bound] = 0
	}
	for _, lag := range lags {
		count++
		sum += float64(lag)
		largest = max(largest, lag)
		for _, bound := range lagBounds {
			if float64(lag) <= bound {
				buckets[bound]++
			}
		}
	}
	return count, sum, largest, buckets
}
