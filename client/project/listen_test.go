package project

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// listening is a Listen that goes on during a test.
type listening struct {
	t       *testing.T
	results chan Result
	ended   chan error
	stop    context.CancelFunc
}

func startListen(t *testing.T, d *Dir, c *client.Client, types ...string) *listening {
	t.Helper()
	return listenAs(t, d, c, &Connection{Types: types})
}

func listenAs(t *testing.T, d *Dir, c *client.Client, conn *Connection) *listening {
	t.Helper()
	l := &listening{t: t}
	l.start(d, c, conn, Options{})
	return l
}

func (l *listening) start(d *Dir, c *client.Client, conn *Connection, o Options) {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	l.results, l.ended, l.stop = make(chan Result, 1000), make(chan error, 1), stop
	go func() {
		l.ended <- Listen(ctx, d, conn, c, o, func(r Result) { l.results <- r })
	}()
	l.t.Cleanup(stop)
}

// until waits for a result that satisfies ok.
func (l *listening) until(what string, ok func(Result) bool) Result {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case r := <-l.results:
			if ok(r) {
				return r
			}
		case err := <-l.ended:
			l.t.Fatalf("listen ended before %s: %v", what, err)
		case <-deadline:
			l.t.Fatalf("never %s", what)
		}
	}
}

func (l *listening) level(head int) {
	l.t.Helper()
	l.until("level", func(r Result) bool { return r.Head == uint64(head) })
}

func (l *listening) end() {
	l.t.Helper()
	l.stop()
	if err := <-l.ended; err != nil {
		l.t.Errorf("listen ended with %v", err)
	}
}

func TestListen(t *testing.T) {
	d := newProject(t)
	log := stream(90)
	hub, c := newHub(t, nil)
	l := startListen(t, d, c, Types()...)
	l.level(0)
	wantMirrors(t, d, undisturbed(nil, Types()...))
	for _, n := range []int{1, 2, 50, 90} {
		hub.become("hub-1", log[:n])
		l.level(n)
		wantMirrors(t, d, undisturbed(log[:n], Types()...))
	}
	l.end()
	if res := mustSync(t, d, c, log, Types()...); res.New > 0 || len(res.Rebuilt) > 0 {
		t.Errorf("a sync after it: %+v", res)
	}
}

func TestListenBringsAnAddedTypeUpFirst(t *testing.T) {
	d := newProject(t)
	log := stream(60)
	hub, c := newHub(t, log[:40])
	mustSync(t, d, c, log[:40], "decision")
	hub.become("hub-1", log)
	hub.requests()
	l := startListen(t, d, c, "decision", "task")
	l.level(60)
	l.end()
	wantMirrors(t, d, undisturbed(log, "decision", "task"))
	if asked := hub.requests(); len(asked) != 1 || asked[0].Until != 40 {
		t.Errorf("asked %v", asked)
	}
}

func TestListenKeepsACursorThatMovedPastOtherTypes(t *testing.T) {
	d := newProject(t)
	log := []*hubv1.Entry{entry(1, "task", "one"), entry(2, "decision", "two"), entry(3, "decision", "three")}
	hub, c := newHub(t, log[:1])
	l := startListen(t, d, c, "task")
	l.level(1)
	hub.become("hub-1", log)
	hub.become("hub-1", append(log[:3:3], entry(4, "task", "four")))
	l.level(4)
	l.end()
	wantMirrors(t, d, undisturbed(append(log, entry(4, "task", "four")), "task"))
}

func TestSyncDuringListen(t *testing.T) {
	d := newProject(t)
	log := stream(400)
	hub, c := newHub(t, nil)
	l := startListen(t, d, c, Types()...)
	for n := 10; n <= len(log); n += 10 {
		hub.become("hub-1", log[:n])
		if _, err := Sync(t.Context(), d, &Connection{Types: Types()}, c, Options{}); err != nil {
			t.Fatal(err)
		}
		sameMirrors(t, d, undisturbed(log[:n], Types()...)) // there may be a temporary file just now
	}
	l.end()
	wantMirrors(t, d, undisturbed(log, Types()...))
}

func TestListenRepairsAndGoesOn(t *testing.T) {
	d := newProject(t)
	log := stream(60)
	hub, c := newHub(t, log[:40])
	l := startListen(t, d, c, "task")
	l.level(40)
	if err := os.Remove(d.hubPath("tasks.md")); err != nil {
		t.Fatal(err)
	}
	hub.become("hub-1", log)
	res := l.until("repaired", func(r Result) bool { return len(r.Rebuilt) > 0 })
	if !strings.Contains(res.Rebuilt[0], "tasks.md was gone") {
		t.Errorf("the reason is %q", res.Rebuilt)
	}
	l.end()
	mustSync(t, d, c, log, "task")
}

func TestListenSurvivesAReplacedHub(t *testing.T) {
	d := newProject(t)
	hub, c := newHub(t, stream(40))
	l := startListen(t, d, c, "task")
	l.level(40)
	hub.become("hub-2", stream(10))
	l.until("replaced", func(r Result) bool { return r.Head == 10 && len(r.Rebuilt) > 0 })
	hub.become("hub-2", stream(5))
	l.until("restored", func(r Result) bool { return len(r.Rebuilt) > 0 && strings.Contains(r.Rebuilt[0], "restored") })
	hub.become("hub-2", stream(30))
	l.level(30)
	l.end()
	wantMirrors(t, d, undisturbed(stream(30), "task"))
}

func TestListenErrors(t *testing.T) {
	d := newProject(t)
	_, c := newHub(t, stream(5))
	if err := Listen(t.Context(), d, &Connection{}, c, Options{}, nil); !errors.Is(err, ErrNoTypes) {
		t.Errorf("no types: %v", err)
	}
	failing := *d
	failing.disk = failAt(1)
	err := Listen(t.Context(), &failing, &Connection{Types: Types()}, c, Options{}, func(Result) {})
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), d.hubPath("")) {
		t.Errorf("a failing disk: %v", err)
	}
}

func TestDue(t *testing.T) {
	some := []*hubv1.Entry{entry(3, "task", "x")}
	for name, tc := range map[string]struct {
		batch batch
		head  uint64
		age   time.Duration
		want  bool
	}{
		"level":              {batch{after: 2, cursor: 3, entries: some}, 3, 0, true},
		"more to come":       {batch{after: 2, cursor: 3, entries: some}, 9, 0, false},
		"more for too long":  {batch{after: 2, cursor: 3, entries: some}, 9, gatherTime, true},
		"enough":             {batch{after: 2, cursor: 3, entries: some, size: flushBytes}, 9, 0, true},
		"cursor alone":       {batch{after: 2, cursor: 3}, 3, time.Second, false},
		"cursor after a bit": {batch{after: 2, cursor: 3}, 3, cursorTime, true},
		"heartbeat":          {batch{after: 3, cursor: 3}, 3, cursorTime, false},
		"heard for long":     {batch{after: 3, cursor: 3}, 3, heardTime, true},
	} {
		if got := tc.batch.due(tc.head, tc.age); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
