//go:build linux

package cli_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// usualKills is how often each of the tests here kills its process.
const usualKills = 200

// TestKilledHubLosesNothing kills a hub with SIGKILL at random moments while 16 publishers publish and 4 listeners
// listen. Afterwards every acknowledged entry is there once, with the sequence it was acknowledged with, and every
// listener has seen the whole log once, in order.
func TestKilledHubLosesNothing(t *testing.T) {
	t.Parallel()
	chapters(t, usualKills, usualKills, killHubs)
}

func killHubs(t *testing.T, random *rand.Rand, kills int) {
	h := startHub(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()

	var acked sync.Map // id → sequence
	var publishers sync.WaitGroup
	publishing, stopPublishing := context.WithCancel(ctx)
	listeners := make([]*follower, 4)
	var following sync.WaitGroup
	for i := range listeners {
		c := newClient(t, client.Config{Addresses: []string{h.address}, Token: h.register(t, fmt.Sprint("listener-", i))})
		listeners[i] = &follower{}
		following.Go(func() { listeners[i].follow(ctx, t, c) })
	}
	var done atomic.Int64 // acknowledgements
	for p := range 16 {
		// Without retries of its own: the loop is the retry, and tries at once when the hub is back.
		c := newClient(t, client.Config{Addresses: []string{h.address}, Token: h.register(t, fmt.Sprint("publisher-", p)), RetryFor: -1})
		publishers.Go(func() { publishUntil(publishing, c, &acked, &done) })
	}
	for range kills {
		before := done.Load()
		await(t, "entries to be acknowledged again", func() bool { return done.Load() > before })
		time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
		h.kill()
		h.restart(t)
	}
	stopPublishing()
	publishers.Wait()
	h.stop() // a publish that was given up may still be on its way into the log: a drain ends it
	h.restart(t)
	log := h.entries(t)
	head := uint64(len(log))
	for i, l := range listeners {
		await(t, fmt.Sprintf("listener %d to have all %d entries", i, head), func() bool { return l.cursor.Load() >= head })
	}
	stop()
	following.Wait()

	sequenceOf := map[string]uint64{}
	for i, e := range log {
		if e.GetSequence() != uint64(i+1) {
			t.Fatalf("entry %d has sequence %d", i+1, e.GetSequence())
		}
		if before, twice := sequenceOf[e.GetId()]; twice {
			t.Errorf("%s is there twice: %d and %d", e.GetId(), before, e.GetSequence())
		}
		sequenceOf[e.GetId()] = e.GetSequence()
	}
	count := 0
	acked.Range(func(id, sequence any) bool {
		count++
		if sequenceOf[id.(string)] != sequence {
			t.Errorf("%s was acknowledged as %d, and is %d in the log", id, sequence, sequenceOf[id.(string)])
		}
		return true
	})
	for i, l := range listeners {
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
	t.Logf("%d kills, %d entries, %d acknowledged", kills, len(log), count)
	if count < kills {
		t.Errorf("only %d entries were acknowledged: this shows nothing", count)
	}
}

func publishUntil(ctx context.Context, c *client.Client, acked *sync.Map, done *atomic.Int64) {
	for ctx.Err() == nil {
		entry := &hubv1.NewEntry{Id: client.NewID(), Type: "learning", Content: "some words"}
		sequences, err := c.Publish(ctx, entry)
		for ; err != nil && ctx.Err() == nil; sequences, err = c.Publish(ctx, entry) {
			time.Sleep(10 * time.Millisecond)
		}
		if err == nil {
			acked.Store(entry.GetId(), sequences[0])
			done.Add(1)
		}
	}
}

// follower is a listener that remembers what it has seen.
type follower struct {
	ids    []string
	cursor atomic.Uint64
}

func (f *follower) follow(ctx context.Context, t *testing.T, c *client.Client) {
	for m, err := range c.Listen(ctx, &hubv1.ListenRequest{}) {
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("listen: %v", err)
			}
			return
		}
		for _, e := range m.GetEntries() {
			f.ids = append(f.ids, e.GetId())
		}
		f.cursor.Store(m.GetCursor())
	}
}

// TestKilledReadersLeaveTheSameMirrors kills `ctx connection listen` and `ctx connection sync` with SIGKILL at
// random moments while entries arrive. After one more sync the mirrors are byte for byte what a project has that
// synced once, undisturbed.
func TestKilledReadersLeaveTheSameMirrors(t *testing.T) {
	t.Parallel()
	chapters(t, usualKills, usualKills, killReaders)
}

func killReaders(t *testing.T, random *rand.Rand, kills int) {
	h := startHub(t)
	disturbed, calm := newWorkstation(t, "disturbed"), newWorkstation(t, "calm")
	for _, w := range []*workstation{disturbed, calm} {
		w.ctx("connection", "register", h.address, "--token-file", w.write("token", h.admin))
		w.ctx("connection", "subscribe", "decision", "learning", "convention", "task")
	}
	c := h.client(t, h.register(t, "publisher"))
	ctx, stop := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer stop()
	publishing.Go(func() {
		types := []string{"decision", "learning", "convention", "task"}
		for i := 0; ctx.Err() == nil; i++ {
			text := strings.Repeat(fmt.Sprintf("line of entry %d\n```\n", i), 1+i%40)
			if _, err := c.Publish(ctx, &hubv1.NewEntry{Type: types[i%4], Content: text}); err != nil && ctx.Err() == nil {
				t.Errorf("publish: %v", err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	begin := time.Now()
	disturbed.ctx("connection", "sync")
	// How long a command takes here: a moment within it is wanted. As that changes with what else the machine does, too
	// early a kill makes it longer, and one that came too late, shorter.
	window := time.Since(begin)
	halfWay := 0
	for i := range kills {
		p := start(t, disturbed.command(context.Background(), "connection", []string{"listen", "sync"}[i%2]))
		before := len(disturbed.mirror("learnings.md"))
		deadline := time.After(window/4 + time.Duration(random.Int64N(int64(window))))
		select {
		case <-p.ended:
		case <-deadline:
		}
		select {
		case <-p.ended:
			window -= window / 10
		default:
			p.signal(syscall.SIGKILL)
			<-p.ended
			if len(disturbed.mirror("learnings.md")) > before {
				halfWay++
			} else {
				window += window / 10
			}
		}
	}
	stop()
	publishing.Wait()
	disturbed.ctx("connection", "sync")
	calm.ctx("connection", "sync")
	for _, name := range []string{"decisions.md", "learnings.md", "conventions.md", "tasks.md"} {
		if got, want := disturbed.mirror(name), calm.mirror(name); got != want || want == "" {
			t.Errorf("%s has %d bytes after the kills, and %d undisturbed", name, len(got), len(want))
		}
	}
	t.Logf("%d of %d kills came while it wrote", halfWay, kills)
	if halfWay < kills/20 {
		t.Errorf("only %d kills came while a mirror grew: this shows nothing", halfWay)
	}
}
