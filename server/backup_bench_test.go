//go:build linux

package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/store"
)

// copyOnce is the second process: it copies the log as cp does, or makes a backup as ctx hub backup does, has the disk
// sync it, and prints how many MB/s that were.
func copyOnce(what, url, admin, dir, to string) {
	work := map[string]func() (int64, error){
		"cp":     func() (int64, error) { return copyFile(filepath.Join(dir, "entries.jsonl"), to) },
		"backup": func() (int64, error) { return backupBeside(url, admin, dir, to) },
	}[what]
	begin := time.Now()
	n, err := work()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(float64(n) / 1e6 / time.Since(begin).Seconds())
}

func copyFile(from, to string) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n, errors.Join(err, out.Sync(), out.Close())
}

func backupBeside(url, admin, dir, to string) (int64, error) {
	c, err := client.New(client.Config{Addresses: []string{url}, Token: admin})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var size int64
	_, err = store.SaveBackup(to, true, func(w io.Writer) error {
		small := new(bytes.Buffer)
		if err := c.Backup(context.Background(), &hubv1.BackupRequest{WithoutLog: true}, small, nil); err != nil {
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
	return size, err
}

// copied has a second process copy, and returns its MB/s.
func copied(b *testing.B, what string, r *running) float64 {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	to := filepath.Join(filepath.Dir(r.dir), what)
	child := exec.Command(self, r.url, r.admin, r.dir, to)
	child.Env = append(os.Environ(), copyVariable+"="+what)
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		b.Fatal(err)
	}
	mbs, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err := errors.Join(err, os.Remove(to)); err != nil {
		b.Fatal(err)
	}
	return mbs
}

// BenchmarkBackupMillion measures ctx hub backup of a million entries on the hub's host against cp of the log, both
// synced and in a process of their own, in turns: on an idle hub, and while 16 publishers publish; and what each does to
// the publishers.
func BenchmarkBackupMillion(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	fillStore(b, dir, 1_000_000)
	r := start(b, func(c *Config) { c.DataDir = dir })
	publish := publisher(r.projectClient(httpClient(b, true), r.join(b, "api"), connect.WithGRPC()), 1)
	var idle, idleRatio, busyRatio, published, publishedByCp []float64
	for b.Loop() {
		x, y := copied(b, "backup", r), copied(b, "cp", r)
		idle, idleRatio = append(idle, x), append(idleRatio, x/y)
		alone := rate(b, 16, 2*time.Second, publish)
		x, p := whilePublishing(b, publish, func() float64 { return copied(b, "backup", r) })
		y, q := whilePublishing(b, publish, func() float64 { return copied(b, "cp", r) })
		busyRatio, published, publishedByCp = append(busyRatio, x/y), append(published, p/alone), append(publishedByCp, q/alone)
	}
	b.ReportMetric(median(idle), "MB/s")
	b.ReportMetric(median(idleRatio), "of-cp")
	b.ReportMetric(median(busyRatio), "of-cp-while-publishing")
	b.ReportMetric(median(published), "of-publishes")
	b.ReportMetric(median(publishedByCp), "of-publishes-during-cp")
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
