//go:build linux

package cli_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ctxhub/cli"
	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// TestAHubThatHangsIsNotKeptAlive freezes the hub's disk, so that a publish hangs in the kernel. systemd, which would
// then restart the hub, hears no more of it, until the disk goes on.
func TestAHubThatHangsIsNotKeptAlive(t *testing.T) {
	t.Parallel()
	fsfreeze := need(t, "fsfreeze")
	disk := newExt4(t, 32)
	socket, hear := cli.FakeSystemd(t)
	h := &testHub{dir: filepath.Join(disk.dir, "hub-data"), flags: []string{"--disk-reserve", "0"}, env: []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=200000"}}
	h.up(t)
	if got := hear(patience); got != "READY=1" {
		t.Fatalf("first heard %q", got)
	}
	c := newClient(t, client.Config{Addresses: []string{h.address}, Token: h.register(t, "publisher"), RetryFor: -1})
	if hear(patience) == "" {
		t.Fatal("a hub that is well is not heard of")
	}
	thawed := false
	thaw := func() {
		if !thawed {
			thawed = true
			check(t, root(fsfreeze, "--unfreeze", disk.dir).Run())
		}
	}
	check(t, root(fsfreeze, "--freeze", disk.dir).Run())
	t.Cleanup(thaw)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		if _, err := c.Publish(context.Background(), &hubv1.NewEntry{Type: "task", Content: "waits for the disk"}); err != nil {
			t.Errorf("publish on a disk that was only slow: %v", err)
		}
	})
	// Ten times as long as the watchdog's patience.
	await(t, "the hub to fall silent", func() bool { return hear(2*time.Second) == "" })
	thaw()
	if hear(patience) == "" {
		t.Error("the disk goes on, and nothing is heard of the hub")
	}
	publishing.Wait()
}
