package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Activity is what a person is shown of the metrics at a glance.
type Activity struct {
	Published                uint64  // entries stored
	PublishP50, PublishP99   float64 // seconds
	SyncP50, SyncP99         float64 // seconds
	EntriesPerSync           float64
	AuthFailures, LimitsHits uint64
}

// Activity sums up since the process began.
func (m *Metrics) Activity() Activity {
	publish, fsync, commit := histogramOf(m.publish), histogramOf(m.fsync), histogramOf(m.commit)
	a := Activity{
		Published:    uint64(commit.GetSampleSum()),
		PublishP50:   quantile(0.5, publish),
		PublishP99:   quantile(0.99, publish),
		SyncP50:      quantile(0.5, fsync),
		SyncP99:      quantile(0.99, fsync),
		AuthFailures: uint64(read(m.authFailures).GetCounter().GetValue()),
	}
	if n := commit.GetSampleCount(); n > 0 {
		a.EntriesPerSync = commit.GetSampleSum() / float64(n)
	}
	for _, limit := range limits {
		a.LimitsHits += uint64(read(m.limitsHit.WithLabelValues(limit)).GetCounter().GetValue())
	}
	return a
}

func histogramOf(h prometheus.Histogram) *dto.Histogram { return read(h).GetHistogram() }

// read takes a metric's value. That of a metric made here is always good; an error leaves it empty.
func read(metric prometheus.Metric) *dto.Metric {
	out := new(dto.Metric)
	_ = metric.Write(out)
	return out
}

// quantile is what the share q of all samples do not exceed, as if they lay evenly within each bucket; 0 without
// samples. Beyond the last bucket it is that bucket's bound, since nothing more is known.
func quantile(q float64, h *dto.Histogram) float64 {
	if h.GetSampleCount() == 0 {
		return 0
	}
	rank := q * float64(h.GetSampleCount())
	lower, below := 0.0, 0.0
	for _, b := range h.GetBucket() {
		upper, upTo := b.GetUpperBound(), float64(b.GetCumulativeCount())
		if upTo >= rank && !math.IsInf(upper, 1) {
			if upTo == below {
				return upper
			}
			return lower + (upper-lower)*(rank-below)/(upTo-below)
		}
		if !math.IsInf(upper, 1) {
			lower = upper
		}
		below = upTo
	}
	return lower
}
