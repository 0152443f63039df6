package project

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	hubv1 "ctxhub/gen/ctx/hub/v1"

	"ctxhub/client"
)

func mustSync(t *testing.T, d *Dir, c *client.Client, log []*hubv1.Entry, types ...string) Result {
	t.Helper()
	res, err := Sync(t.Context(), d, &Connection{Types: types}, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Head != uint64(len(log)) {
		t.Errorf("head %d, want %d", res.Head, len(log))
	}
	wantMirrors(t, d, undisturbed(log, types...))
	return res
}

func TestSync(t *testing.T) {
	d := newProject(t)
	log := stream(95)
	hub, c := newHub(t, nil)
	if res := mustSync(t, d, c, nil, "decision", "unheard-of"); res.New != 0 || len(res.Rebuilt) > 0 {
		t.Errorf("an empty hub: %+v", res)
	}
	hub.become("hub-1", log)
	want := strings.Count(undisturbed(log, "decision")["decisions.md"], "**Origin**: api")
	if res := mustSync(t, d, c, log, "decision"); res.New != want || len(res.Rebuilt) > 0 {
		t.Errorf("%d entries: %+v", want, res)
	}
	if res := mustSync(t, d, c, log, "decision"); res.New != 0 || len(res.Rebuilt) > 0 {
		t.Errorf("nothing new: %+v", res)
	}
}

func TestSyncAsksForNothingTwice(t *testing.T) {
	d := newProject(t)
	log := stream(95)
	hub, c := newHub(t, log[:30])
	mustSync(t, d, c, log[:30], "decision")
	hub.become("hub-1", log[:60])
	mustSync(t, d, c, log[:60], "decision", "task")
	hub.become("hub-1", log)
	hub.requests()
	mustSync(t, d, c, log, "decision", "learning", "task")
	var got []string
	for _, req := range hub.requests() {
		got = append(got, fmt.Sprintf("%d-%d %v", req.After, req.Until, req.Types))
	}
	want := []string{"0-60 [learning]", "60-0 [decision learning task]"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

func TestThreeTypesAtThreePlaces(t *testing.T) {
	got := nextLeg([]standing{
		{kind: kinds[0], mirror: Mirror{LastSequence: 50}},
		{kind: kinds[1], mirror: Mirror{LastSequence: 10}},
		{kind: kinds[2], mirror: Mirror{LastSequence: 30}},
		{kind: kinds[3], mirror: Mirror{LastSequence: 10}},
	})
	if want := (leg{after: 10, until: 30, kinds: []kind{kinds[1], kinds[3]}, sums: map[uint64]string{}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestProgressReachesTheHead(t *testing.T) {
	d := newProject(t)
	_, c := newHub(t, stream(35))
	var got []string
	progress := func(done, total uint64) { got = append(got, fmt.Sprintf("%d/%d", done, total)) }
	if _, err := Sync(t.Context(), d, &Connection{Types: []string{"task"}}, c, Options{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"10/35", "20/35", "30/35", "35/35"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestReplacedOrRestoredHub(t *testing.T) {
	old, other := stream(60), stream(80)
	for _, e := range other {
		e.Origin = "elsewhere"
	}
	for name, tc := range map[string]struct {
		id  string
		log []*hubv1.Entry
		why string
	}{
		"replaced, longer":   {"hub-2", other, "another hub"},
		"replaced, as long":  {"hub-2", other[:60], "another hub"},
		"replaced, shorter":  {"hub-2", other[:10], "another hub"},
		"replaced, empty":    {"hub-2", nil, "another hub"},
		"restored":           {"hub-1", old[:40], "ends at 40, before the 60"},
		"restored far back":  {"hub-1", old[:5], "ends at 5, before the"},
		"restored to empty":  {"hub-1", nil, "ends at 0"},
		"restored, diverged": {"hub-1", other[:59], "up to 30 is another one"},
		"restored and grown": {"hub-1", other, "up to 30 is another one"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newProject(t)
			hub, c := newHub(t, old[:20])
			mustSync(t, d, c, old[:20], "task")
			hub.become("hub-1", old)
			mustSync(t, d, c, old, "task", "decision")
			if _, err := replay(runOf(t, d, "learning"), old[:30], 50); err != nil { // one that lags behind
				t.Fatal(err)
			}
			hub.become(tc.id, tc.log)
			res := mustSync(t, d, c, tc.log, "task", "decision", "learning")
			if got := strings.Join(res.Rebuilt, "\n"); len(res.Rebuilt) != 1 || !strings.Contains(got, tc.why) {
				t.Errorf("the reasons are %q, want %q", res.Rebuilt, tc.why)
			}
			if res := mustSync(t, d, c, tc.log, "task", "decision", "learning"); len(res.Rebuilt) > 0 || res.New > 0 {
				t.Errorf("again: %+v", res)
			}
		})
	}
}

func TestSyncErrors(t *testing.T) {
	d := newProject(t)
	hub, c := newHub(t, stream(30))
	if _, err := Sync(t.Context(), d, &Connection{Types: []string{"../../pwned"}}, c, Options{}); !errors.Is(err, ErrNoTypes) {
		t.Errorf("no types: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sync(ctx, d, &Connection{Types: Types()}, c, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	hub.spoilt(func(msg *hubv1.SyncResponse) { msg.Head = 31 })
	if _, err := Sync(t.Context(), d, &Connection{Types: Types()}, c, Options{}); !errors.Is(err, ErrBadStream) {
		t.Errorf("an answer that ends early: %v", err)
	}
	wantMirrors(t, d, undisturbed(stream(30), Types()...)) // what did arrive was kept
}

func TestTwoHubsAtOneAddress(t *testing.T) {
	d := newProject(t)
	hub, c := newHub(t, stream(30))
	mustSync(t, d, c, stream(30), Types()...)
	answers := 0
	hub.spoilt(func(msg *hubv1.SyncResponse) {
		answers++
		msg.HubId = fmt.Sprintf("other-%d", answers)
	})
	if _, err := Sync(t.Context(), d, &Connection{Types: Types()}, c, Options{}); !errors.Is(err, ErrUnsettled) {
		t.Errorf("got %v", err)
	}
}

func TestARunOfAFormerConnectionGivesUp(t *testing.T) {
	d, _ := saved(t)
	hub, c := newHub(t, stream(30))
	mustSync(t, d, c, stream(30), "task")
	former := example
	former.Token = "ctx_cli_former"
	hub.become("hub-0", stream(9))
	if _, err := Sync(t.Context(), d, &former, c, Options{}); !errors.Is(err, ErrReconnected) {
		t.Errorf("got %v", err)
	}
	wantMirrors(t, d, undisturbed(stream(30), "task"))
}

func TestASpentMirrorWithoutARecordIsKept(t *testing.T) {
	d := newProject(t)
	hub, c := newHub(t, stream(30))
	mustSync(t, d, c, stream(30), "task", "decision")
	hub.become("hub-2", stream(10))
	if _, err := Sync(t.Context(), d, &Connection{Types: []string{"task"}}, c, Options{}); err != nil {
		t.Fatal(err)
	}
	want := undisturbed(stream(10), "task")
	want["decisions.md"] = undisturbed(stream(30), "decision")["decisions.md"]
	wantMirrors(t, d, want)
	mustSync(t, d, c, stream(10), "task", "decision")
}
