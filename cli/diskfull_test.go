//go:build linux

package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// fullDisk is a hub on a small disk, with what else lies on it.
type fullDisk struct {
	*testHub
	t       *testing.T
	ballast string // a file that takes room
	desk    *workstation
	reader  string // a project's token
	acked   map[string]uint64
	mu      sync.Mutex
}

func newFullDisk(t *testing.T, flags ...string) *fullDisk {
	t.Helper()
	disk := newTmpfs(t, 4096)
	d := &fullDisk{t: t, ballast: filepath.Join(disk.dir, "ballast"), acked: map[string]uint64{}, desk: newWorkstation(t, "desk")}
	// Room is made by removing it, and there must be enough for what comes then.
	check(t, os.WriteFile(d.ballast, make([]byte, 2<<20), 0o600))
	d.testHub = startHubIn(t, filepath.Join(disk.dir, "hub-data"), append([]string{"--disk-reserve", "0"}, flags...)...)
	d.desk.ctx("connection", "register", d.address, "--token-file", d.desk.write("token", d.admin))
	d.desk.ctx("connection", "subscribe", "decision", "learning", "convention", "task")
	return d
}

// fill publishes, from several sides, until each has been refused for lack of room even for a little entry.
func (d *fullDisk) fill(clients []*client.Client) {
	d.t.Helper()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for size := 64 << 10; size > 0; {
				id := client.NewID()
				err := d.publish(c, id, strings.Repeat("x", size))
				if err != nil && connect.CodeOf(err) != connect.CodeUnavailable {
					d.t.Errorf("publisher %d: %v", i, err)
					return
				}
				if err != nil {
					size /= 2
				}
			}
		})
	}
	all.Wait()
}

func (d *fullDisk) publish(c *client.Client, id, text string) error {
	sequences, err := c.Publish(d.t.Context(), &hubv1.NewEntry{Id: id, Type: "learning", Content: text})
	if err == nil {
		d.mu.Lock()
		d.acked[id] = sequences[0]
		d.mu.Unlock()
	}
	return err
}

func (d *fullDisk) clients(n int) []*client.Client {
	d.t.Helper()
	var all []*client.Client
	for i := range n {
		token := d.register(d.t, fmt.Sprint("publisher-", i))
		all = append(all, newClient(d.t, client.Config{Addresses: []string{d.address}, Token: token, RetryFor: -1}))
	}
	return all
}

// listen has listeners follow from before the disk is full.
func (d *fullDisk) listen(n int) (listeners []*follower, stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	listeners = make([]*follower, n)
	for i := range listeners {
		listeners[i] = &follower{}
		c := d.client(d.t, d.register(d.t, fmt.Sprint("listener-", i)))
		following.Go(func() { listeners[i].follow(ctx, d.t, c) })
	}
	stop = func() { cancel(); following.Wait() }
	d.t.Cleanup(stop)
	return listeners, stop
}

// status is ctx hub status on the hub's machine: its exit code with --exit-code, and why it is degraded.
func (d *fullDisk) status() (code int, degraded string) {
	d.t.Helper()
	code, stdout, stderr := d.desk.run("hub", "status", "--exit-code", "--json", "--data-dir", d.dir)
	var r struct{ Degraded string }
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		d.t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	return code, r.Degraded
}

// checkAll looks for what was acknowledged, and that nothing is there twice.
func (d *fullDisk) checkAll() []*hubv1.Entry {
	d.t.Helper()
	log := readAll(d.t, d.client(d.t, d.reader), 0)
	found := map[string]uint64{}
	for i, e := range log {
		if _, twice := found[e.GetId()]; twice || e.GetSequence() != uint64(i+1) {
			d.t.Fatalf("%s, at place %d, is there twice or has sequence %d", e.GetId(), i+1, e.GetSequence())
		}
		found[e.GetId()] = e.GetSequence()
	}
	checkAcknowledged(d.t, d.acked, found)
	return log
}

// TestAFullDisk fills a hub's disk while listeners follow. Publishers, register and revoke are refused with the reason;
// listeners, syncs and a restart go on; status says degraded. When there is room, status is well without a restart and
// without a publish, entries are taken again, and everyone who listened all the time has everything once, in order.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	d := newFullDisk(t)
	publishers := d.clients(4)
	d.reader = d.register(t, "reader")
	listeners, stop := d.listen(4)
	d.fill(publishers)

	said := d.desk.fails(8, "connection", "publish", "task", "one more")
	if !strings.Contains(said, "cannot be stored now: the hub's disk is full") {
		t.Errorf("publish says %s", said)
	}
	if code, why := d.status(); code != 1 || !strings.Contains(why, "the hub's disk is full") {
		t.Errorf("status: exit code %d, degraded %q", code, why)
	}
	d.desk.ctx("connection", "sync")
	if log := d.checkAll(); strings.Count(d.desk.mirror("learnings.md"), "\n## [") < len(log)-1 {
		t.Error("sync left entries out")
	}
	d.refuseProjects()

	// The hub is started on the full disk, as after a restart of the machine. That it stopped made room for a moment.
	d.stop()
	takeRoom(t, d.ballast)
	d.restart(t)
	if !strings.Contains(d.stderr.String(), "disk is full") {
		t.Errorf("at start it says %q", d.stderr.String())
	}
	d.checkAll()
	if err := d.publish(publishers[0], client.NewID(), strings.Repeat("x", 8<<10)); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("publish: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(d.dir, "*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}

	check(t, os.Remove(d.ballast))
	await(t, "the hub to be well again", func() bool {
		if _, err := os.Stat(filepath.Join(d.dir, "hub.pid")); err != nil {
			return false
		}
		code, why := d.status()
		return code == 0 && why == ""
	})
	for _, c := range publishers {
		check(t, d.publish(c, client.NewID(), "there is room"))
	}
	d.desk.ctx("hub", "project", "revoke", "publisher-0", "--data-dir", d.dir)
	log := d.checkAll()
	checkFollowers(t, listeners, log)
	stop()
	d.stop()
	d.restart(t)
	d.checkAll()
}

// takeRoom makes a file larger until there is no room for a byte.
func takeRoom(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// refuseProjects fills the disk to the last byte and tries to change the projects.
func (d *fullDisk) refuseProjects() {
	d.t.Helper()
	takeRoom(d.t, d.ballast)
	admin := newClient(d.t, client.Config{Addresses: []string{d.address}, Token: d.admin, RetryFor: -1})
	_, registered := admin.Register(d.t.Context(), &hubv1.RegisterRequest{Project: "late"})
	revoked := admin.Revoke(d.t.Context(), "reader")
	for what, err := range map[string]error{"register": registered, "revoke": revoked} {
		if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "cannot be stored now: the hub's disk is full") {
			d.t.Errorf("%s: %v", what, err)
		}
	}
	list, err := admin.ListProjects(d.t.Context())
	check(d.t, err)
	for _, p := range list {
		if p.GetName() == "late" || p.GetName() == "reader" && p.GetRevokedAt() != nil {
			d.t.Errorf("what was refused is there: %v", p)
		}
	}
}

func checkFollowers(t *testing.T, listeners []*follower, log []*hubv1.Entry) {
	t.Helper()
	for i, l := range listeners {
		await(t, fmt.Sprint("listener ", i), func() bool { return l.cursor.Load() >= uint64(len(log)) })
		if len(l.ids) != len(log) {
			t.Errorf("listener %d has %d entries of %d", i, len(l.ids), len(log))
			continue
		}
		for j, id := range l.ids {
			if id != log[j].GetId() {
				t.Fatalf("listener %d has %s at place %d, the log %s", i, id, j+1, log[j].GetId())
			}
		}
	}
}

// TestADiskThatFillsAndEmpties takes and gives a hub's room, always in the same order, while publishers publish and
// listeners follow. No listener's stream breaks, and each has everything once, in order.
func TestADiskThatFillsAndEmpties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	d := newFullDisk(t)
	d.reader = d.register(t, "reader")
	listeners, stop := d.listen(4)
	publishers := d.clients(4)
	for range 12 {
		takeRoom(t, d.ballast)
		d.fill(publishers)
		var publishing sync.WaitGroup
		waiting, deadline := len(d.acked)+4, time.Now().Add(patience)
		for _, c := range publishers { // they are refused, and go on until they are not
			id := client.NewID()
			publishing.Go(func() {
				for d.publish(c, id, strings.Repeat("y", 5000)) != nil && time.Now().Before(deadline) {
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
		info, err := os.Stat(d.ballast)
		check(t, err)
		check(t, os.Truncate(d.ballast, max(0, info.Size()-64<<10-random.Int64N(64<<10))))
		publishing.Wait()
		if len(d.acked) != waiting {
			t.Errorf("%d acknowledged, want %d", len(d.acked), waiting)
		}
	}
	checkFollowers(t, listeners, d.checkAll())
	stop()
}

// TestTheReserveKeepsTheHubsOwnRoom: entries are refused before the disk is full, and projects can still be changed.
func TestTheReserveKeepsTheHubsOwnRoom(t *testing.T) {
	t.Parallel()
	d := newFullDisk(t, "--disk-reserve", fmt.Sprint(512<<10))
	d.fill(d.clients(2))
	said := d.desk.fails(8, "connection", "publish", "task", "one more")
	if !strings.Contains(said, "nearly full") || !strings.Contains(said, "kept in reserve") {
		t.Errorf("publish says %s", said)
	}
	if code, why := d.status(); code != 1 || !strings.Contains(why, "reserve") {
		t.Errorf("status: exit code %d, degraded %q", code, why)
	}
	d.reader = d.register(t, "late")
	d.desk.ctx("hub", "project", "revoke", "publisher-0", "--data-dir", d.dir)
	d.checkAll()
	check(t, os.Remove(d.ballast))
	await(t, "the hub to be well again", func() bool { code, _ := d.status(); return code == 0 })
	d.desk.ctx("connection", "publish", "task", "there is room")
}
