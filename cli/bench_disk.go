package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// diskRate is what the disk does by itself: append a group of records, sync, and again.
type diskRate struct {
	Group            int     `json:"group"` // records that share a sync
	RecordBytes      int     `json:"record_bytes"`
	Syncs            int     `json:"syncs"`
	EntriesPerSecond float64 `json:"entries_per_second"`
	P50              float64 `json:"p50_seconds"`
	P99              float64 `json:"p99_seconds"`
}

// measureDisk appends to a file of its own, which it removes. A group is one write, as the hub's is.
func measureDisk(ctx context.Context, dir string, group, record int, d time.Duration) (r diskRate, err error) {
	path := filepath.Join(dir, "disk")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	data := make([]byte, group*record)
	for i := range data {
		data[i] = 'a' + byte(i%26)
	}
	var took []time.Duration
	begun := time.Now()
	for time.Since(begun) < d && ctx.Err() == nil {
		at := time.Now()
		if _, err := f.Write(data); err != nil {
			return r, err
		}
		if err := syncData(f); err != nil {
			return r, err
		}
		took = append(took, time.Since(at))
	}
	if len(took) == 0 {
		return r, context.Cause(ctx)
	}
	r = diskRate{Group: group, RecordBytes: record, Syncs: len(took)}
	r.EntriesPerSecond = float64(len(took)*group) / time.Since(begun).Seconds()
	r.P50, r.P99 = quantiles(took)
	return r, context.Cause(ctx)
}
