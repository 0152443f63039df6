//go:build linux

package server

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/store"
)

// copied is how fast cp is: a file copied by the kernel, and on the disk.
func copied(b *testing.B, from, to string) float64 {
	b.Helper()
	begin := time.Now()
	in, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(out, in)
	if err != nil {
		b.Fatal(err)
	}
	if err := out.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin).Seconds()
	if err := os.Remove(to); err != nil {
		b.Fatal(err)
	}
	return float64(n) / 1e6 / took
}

// BenchmarkBackupMillion measures ctx hub backup of a million entries on the hub's host against cp of the log, both
// synced, in turns: on an idle hub, and while 16 publishers publish; and what that does to the publishers.
func BenchmarkBackupMillion(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	fillStore(b, dir, 1_000_000)
	r := start(b, func(c *Config) { c.DataDir = dir })
	admin, err := client.New(client.Config{Addresses: []string{r.url}, Token: r.admin})
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close()
	to := filepath.Join(b.TempDir(), "backup.tar")
	beside := func() float64 {
		begin := time.Now()
		var size int64
		_, err := store.SaveBackup(to, true, func(w io.Writer) error {
			small := new(bytes.Buffer)
			if err := admin.Backup(b.Context(), &hubv1.BackupRequest{WithoutLog: true}, small, nil); err != nil {
				return err
			}
			snapshot, err := store.BesideHub(dir, small)
			if err != nil {
				return err
			}
			size = snapshot.Size()
			_, err = snapshot.WriteTo(w)
			return errors.Join(err, snapshot.Close())
		})
		if err != nil {
			b.Fatal(err)
		}
		return float64(size) / 1e6 / time.Since(begin).Seconds()
	}
	cp := func() float64 { return copied(b, filepath.Join(dir, "entries.jsonl"), to+".cp") }
	publish := publisher(r.projectClient(httpClient(b, true), r.join(b, "api"), connect.WithGRPC()), 1)
	var idle, idleRatio, busyRatio, publishes []float64
	for b.Loop() {
		x, y := beside(), cp()
		idle, idleRatio = append(idle, x), append(idleRatio, x/y)
		alone := rate(b, 16, 2*time.Second, publish)
		x, published := whilePublishing(b, publish, beside)
		y, _ = whilePublishing(b, publish, cp)
		busyRatio, publishes = append(busyRatio, x/y), append(publishes, published/alone)
	}
	b.ReportMetric(median(idle), "MB/s")
	b.ReportMetric(median(idleRatio), "of-cp")
	b.ReportMetric(median(busyRatio), "of-cp-while-publishing")
	b.ReportMetric(median(publishes), "of-publishes")
	b.ReportMetric(0, "ns/op")
}

// whilePublishing returns what work measures while 16 publishers publish, and their rate meanwhile.
func whilePublishing(b *testing.B, publish func(int) (int, error), work func() float64) (worked, published float64) {
	b.Helper()
	done := make(chan struct{})
	rates := make(chan float64, 1)
	go func() { rates <- rateUntil(b, 16, done, publish) }()
	time.Sleep(200 * time.Millisecond)
	worked = work()
	close(done)
	return worked, <-rates
}

// BenchmarkVerifyMillion measures ctx hub verify.
func BenchmarkVerifyMillion(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	fillStore(b, dir, 1_000_000)
	var rates []float64
	for b.Loop() {
		begin := time.Now()
		report, err := store.Verify(dir, nil)
		if err != nil || len(report.Problems) > 0 {
			b.Fatal(report, err)
		}
		rates = append(rates, float64(report.Bytes)/1e6/time.Since(begin).Seconds())
	}
	b.ReportMetric(median(rates), "MB/s")
	b.ReportMetric(0, "ns/op")
}
