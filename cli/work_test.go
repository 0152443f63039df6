//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

var entryTypes = []string{"decision", "learning", "convention", "task"}

// work is what goes on at a hub while a disk is tortured, and what was acknowledged of it.
type work struct {
	t         *testing.T
	random    *rand.Rand
	hub       *testHub
	admin     *client.Client
	token     string // of a project that only reads
	reader    *client.Client
	publisher []*publisher
	listener  *follower
	stop      func() // ends the listener

	disturbed, calm *workstation // nil where no project is on the disk
	byCommand       int

	mu       sync.Mutex
	acked    map[string]uint64 // id → sequence
	projects map[string]bool   // registered

	found map[string]uint64 // what checkLog has seen, id → sequence
	text  []byte            // and the log's file
}

// publisher repeats what was not acknowledged, with the same ids, also after the power has come back.
type publisher struct {
	client  *client.Client
	random  *rand.Rand
	pending []*hubv1.NewEntry
}

func newWork(t *testing.T, random *rand.Rand, h *testHub) *work {
	t.Helper()
	w := &work{t: t, random: random, hub: h, acked: map[string]uint64{}, projects: map[string]bool{}, found: map[string]uint64{}}
	once := func(token string) *client.Client { // the loops here are the retry
		return newClient(t, client.Config{Addresses: []string{h.address}, Token: token, RetryFor: -1})
	}
	w.admin, w.token = once(h.admin), h.register(t, "reader")
	w.reader = h.client(t, w.token)
	for i := range 8 {
		w.publisher = append(w.publisher, &publisher{
			client: once(h.register(t, fmt.Sprint("publisher-", i))), random: rand.New(rand.NewPCG(random.Uint64(), 0)),
		})
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	w.listener = &follower{}
	listener := h.client(t, h.register(t, "listener"))
	following.Go(func() { w.listener.follow(ctx, t, listener) })
	w.stop = func() { stop(); following.Wait() }
	t.Cleanup(w.stop)
	return w
}

// join puts a workstation with a project on the disk, and one elsewhere.
func (w *work) join(disk string) {
	w.t.Helper()
	w.calm = newWorkstation(w.t, "calm")
	w.disturbed = newWorkstationIn(w.t, disk, "disturbed")
	token := w.calm.write("token", w.hub.admin)
	for _, s := range []*workstation{w.calm, w.disturbed} {
		s.ctx("connection", "register", w.hub.address, "--token-file", token)
		s.ctx("connection", "subscribe", "decision", "learning", "convention", "task")
	}
}

// begin sets everyone to work, and returns when something was acknowledged. The returned function ends it all; it counts
// the commands that it ended half-way.
func (w *work) begin(busy bool) (end func() (cutOff int)) {
	w.t.Helper()
	if !busy {
		return func() int { return 0 }
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var cutOff atomic.Int64
	before := len(w.acknowledged())
	for _, p := range w.publisher {
		all.Go(func() { p.run(ctx, w) })
	}
	all.Go(func() { w.register(ctx) })
	if w.disturbed != nil {
		for _, command := range []func(context.Context) error{w.publishByCommand, w.syncByCommand} {
			all.Go(func() {
				for ctx.Err() == nil {
					if err := command(ctx); err != nil && ctx.Err() != nil {
						cutOff.Add(1)
					}
				}
			})
		}
	}
	await(w.t, "entries to be acknowledged again", func() bool { return len(w.acknowledged()) > before })
	return func() int {
		stop()
		all.Wait()
		return int(cutOff.Load())
	}
}

func (p *publisher) run(ctx context.Context, w *work) {
	for ctx.Err() == nil {
		if p.pending == nil {
			for range 1 + p.random.IntN(8) {
				id := client.NewID()
				p.pending = append(p.pending, &hubv1.NewEntry{Id: id, Type: entryTypes[p.random.IntN(4)], Content: content(id)})
			}
		}
		sequences, err := p.client.Publish(ctx, p.pending...)
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		w.mu.Lock()
		for i, e := range p.pending {
			w.acked[e.GetId()] = sequences[i]
		}
		w.mu.Unlock()
		p.pending = nil
		time.Sleep(time.Duration(p.random.IntN(8)) * time.Millisecond)
	}
}

// content tells from an entry's id what must be in it: mostly some lines, now and then some blocks of the disk.
func content(id string) string {
	sum := fnv.New32()
	_, _ = sum.Write([]byte(id))
	lines := sum.Sum32() % 8
	if sum.Sum32()%256 == 0 {
		lines = 400
	}
	return strings.Repeat("a line of "+id+"\n", int(lines)+1)
}

func (w *work) register(ctx context.Context) {
	for ctx.Err() == nil {
		name := "p-" + client.NewID()
		if _, err := w.admin.Register(ctx, &hubv1.RegisterRequest{Project: name}); err == nil {
			w.mu.Lock()
			w.projects[name] = true
			w.mu.Unlock()
		}
		time.Sleep(30 * time.Millisecond) // each one writes them all
	}
}

func (w *work) publishByCommand(ctx context.Context) error {
	id := client.NewID()
	cmd := w.disturbed.command(ctx, "connection", "publish", "--json", "--id", id, "decision", content(id))
	said, err := cmd.Output()
	var p struct{ Sequence uint64 }
	if json.Unmarshal(said, &p) == nil && p.Sequence > 0 { // also if it was killed after it had said so
		w.mu.Lock()
		w.acked[id] = p.Sequence
		w.byCommand++
		w.mu.Unlock()
	}
	return err
}

func (w *work) syncByCommand(ctx context.Context) error {
	return w.disturbed.command(ctx, "connection", "sync").Run()
}

func (w *work) acknowledged() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}

func (w *work) head() uint64 { return uint64(len(w.found)) }

// checkLog reads what has come since the last look. What was there then must stand in the file as it stood.
func (w *work) checkLog(file string) {
	w.t.Helper()
	text, err := os.ReadFile(file)
	check(w.t, err)
	if !bytes.HasPrefix(text, w.text) {
		w.t.Errorf("the log of %d bytes does not begin with the %d bytes of before", len(text), len(w.text))
	}
	w.text = text
	checkEntries(w.t, readAll(w.t, w.reader, w.head()), w.head(), w.found)
	checkAcknowledged(w.t, w.acknowledged(), w.found)
	list, err := w.admin.ListProjects(w.t.Context())
	check(w.t, err)
	there := map[string]bool{}
	for _, p := range list {
		there[p.GetName()] = true
	}
	for name := range w.projects {
		if !there[name] {
			w.t.Errorf("%s was registered, and is unknown", name)
		}
	}
}

func (w *work) checkMirrors() {
	w.t.Helper()
	w.disturbed.ctx("connection", "sync")
	w.calm.ctx("connection", "sync")
	for _, kind := range entryTypes {
		if got, want := w.disturbed.mirror(kind+"s.md"), w.calm.mirror(kind+"s.md"); got != want {
			w.t.Errorf("%ss.md has %d bytes, and %d in a project that was not disturbed", kind, len(got), len(want))
		}
	}
}

// finish waits for the listener, which must have seen the whole log once and in order.
func (w *work) finish() {
	w.t.Helper()
	await(w.t, "the listener", func() bool { return w.listener.cursor.Load() >= w.head() })
	w.stop()
	if uint64(len(w.listener.ids)) != w.head() {
		w.t.Errorf("the listener has %d entries of %d", len(w.listener.ids), w.head())
	}
	for i, id := range w.listener.ids {
		if w.found[id] != uint64(i+1) {
			w.t.Fatalf("the listener has %s at place %d, the log at %d", id, i+1, w.found[id])
		}
	}
}

func readAll(t *testing.T, c *client.Client, after uint64) []*hubv1.Entry {
	t.Helper()
	var all []*hubv1.Entry
	for res, err := range c.Sync(t.Context(), &hubv1.SyncRequest{After: after}) {
		check(t, err)
		all = append(all, res.GetEntries()...)
	}
	return all
}

// checkEntries adds what a log has behind after to found. Each entry must be the next, new, and as it was published.
func checkEntries(t *testing.T, log []*hubv1.Entry, after uint64, found map[string]uint64) {
	t.Helper()
	for i, e := range log {
		if e.GetSequence() != after+uint64(i)+1 {
			t.Fatalf("behind %d stands %d", after+uint64(i), e.GetSequence())
		}
		if before, twice := found[e.GetId()]; twice {
			t.Errorf("%s is there twice: %d and %d", e.GetId(), before, e.GetSequence())
		}
		if e.GetContent() != content(e.GetId()) {
			t.Errorf("%s is not as it was published", e.GetId())
		}
		found[e.GetId()] = e.GetSequence()
	}
}

func checkAcknowledged(t *testing.T, acked, found map[string]uint64) {
	t.Helper()
	lost := 0
	for id, sequence := range acked {
		if found[id] != sequence {
			lost++
			if lost <= 3 {
				t.Errorf("%s was acknowledged as %d, and is %d in the log", id, sequence, found[id])
			}
		}
	}
	if lost > 3 {
		t.Errorf("%d acknowledged entries are lost or elsewhere", lost)
	}
}
