package project

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// ownLog is a log in which some entries are the project's own: they have ids that begin with own.
func ownLog(types ...string) []*hubv1.Entry {
	log := make([]*hubv1.Entry, len(types))
	for i, name := range types {
		name, mine := strings.CutPrefix(name, "own ")
		log[i] = entry(uint64(i+1), name, fmt.Sprint("text ", i+1))
		if mine {
			log[i].Id, log[i].Origin = fmt.Sprint("own-", i+1), "own"
		}
	}
	return log
}

// others are m entries that somebody else published behind a log.
func others(log []*hubv1.Entry, m int) []*hubv1.Entry {
	list := slices.Clone(log)
	for i := range m {
		e := entry(uint64(len(list)+1), Types()[i%2], fmt.Sprint("other ", i))
		e.Id = fmt.Sprint("other-", i)
		list = append(list, e)
	}
	return list
}

var ownConn = Connection{HubAddr: "http://hub:9900", Project: "own", HubID: "hub-1", Types: []string{"decision", "task"}}

// noteAll notes the own entries of a log as ctx connection publish does.
func noteAll(t testing.TB, d *Dir, log []*hubv1.Entry) (own int) {
	t.Helper()
	for _, e := range log {
		if strings.HasPrefix(e.Id, "own-") {
			own++
			if err := d.Note(t.Context(), &ownConn, &hubv1.NewEntry{Id: e.Id, Type: e.Type, Content: e.Content}, e.Sequence); err != nil {
				t.Fatal(err)
			}
		}
	}
	return own
}

// place brings one mirror to a place in a log.
func place(t testing.TB, d *Dir, log []*hubv1.Entry, name string) {
	t.Helper()
	m := runOf(t, d, name)
	m.conn = &ownConn
	if _, err := replay(m, log, 100); err != nil {
		t.Fatal(err)
	}
}

// settledAll wants mirrors, notes and state to be what they are after a sync that nothing disturbed, and each own
// entry to be in the log once.
func settledAll(t *testing.T, d *Dir, hub *fakeHub, own []*hubv1.Entry) {
	t.Helper()
	_, log, _ := hub.look()
	wantMirrors(t, d, undisturbed(log, ownConn.Types...))
	at := map[string]uint64{}
	for i, e := range log {
		if at[e.Id] > 0 {
			t.Errorf("%s is on the hub twice", e.Id)
		}
		at[e.Id] = uint64(i + 1)
	}
	lines, err := d.noteLines()
	if err != nil {
		t.Fatal(err)
	}
	noted := map[string]uint64{}
	for _, l := range lines {
		noted[l.note.ID] = l.note.Sequence
	}
	for _, e := range own {
		if !strings.HasPrefix(e.Id, "own-") {
			continue
		}
		if at[e.Id] == 0 || noted[e.Id] != at[e.Id] {
			t.Errorf("%s is at %d on the hub and noted at %d", e.Id, at[e.Id], noted[e.Id])
		}
	}
	st, err := d.State()
	if err != nil || st.Owed != nil || st.Lost != "" {
		t.Errorf("%v: the state is %+v", err, st)
	}
	sums := chain(log)
	for name, m := range st.Mirrors {
		if !hub.bare && m.Sum != sums[m.LastSequence] {
			t.Errorf("the sum of %s at %d is %.8q", name, m.LastSequence, m.Sum)
		}
	}
}

// TestEveryRestoreIsMadeGood restores a hub to every earlier point and lets others publish more or less there,
// with the mirrors at every place. After one sync the mirrors are those of the log, and every own entry is in it.
func TestEveryRestoreIsMadeGood(t *testing.T) {
	log := ownLog("own decision", "task", "own learning", "own task")
	hub, c := newHub(t, nil)
	root := t.TempDir()
	for restored := range len(log) + 1 {
		for grown := range 5 {
			for one := range len(log) + 1 {
				for two := range len(log) + 1 {
					name := fmt.Sprintf("to %d, grown by %d, decisions at %d, tasks at %d", restored, grown, one, two)
					t.Run(name, func(t *testing.T) {
						dir, err := os.MkdirTemp(root, "")
						if err != nil {
							t.Fatal(err)
						}
						d, err := Create(dir)
						if err != nil {
							t.Fatal(err)
						}
						// What is tried here is the order of steps, and not the disk.
						d.disk.sync = func(*os.File) error { return nil }
						d.disk.syncParent = func(string) error { return nil }
						place(t, d, log[:one], "decision")
						place(t, d, log[:two], "task")
						noteAll(t, d, log)
						hub.become("hub-1", others(log[:restored], grown))
						checkRestore(t, d, c, hub, log, restored, max(one, two) > restored)
					})
				}
			}
		}
	}
}

func checkRestore(t *testing.T, d *Dir, c *client.Client, hub *fakeHub, log []*hubv1.Entry, restored int, rebuilt bool) {
	t.Helper()
	res, err := Sync(t.Context(), d, &ownConn, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	settledAll(t, d, hub, log)
	lost := 0
	for _, e := range log[restored:] {
		if strings.HasPrefix(e.Id, "own-") {
			lost++
		}
	}
	if res.Republished != lost || (len(res.Told) > 0) != (lost > 0) {
		t.Errorf("%d own entries were lost, and the result is %+v", lost, res)
	}
	if (len(res.Rebuilt) > 0) != rebuilt {
		t.Errorf("built anew: %q, want %v", res.Rebuilt, rebuilt)
	}
	stored := hub.stored
	again, err := Sync(t.Context(), d, &ownConn, c, Options{})
	if err != nil || again.news() || hub.stored != stored {
		t.Errorf("the next sync: %+v, %v, and %d entries published", again, err, hub.stored-stored)
	}
}

// TestRepublishingCanBeResumed fails each step on the disk of a sync that meets a restored hub. The next sync makes
// good what it left.
func TestRepublishingCanBeResumed(t *testing.T) {
	log := ownLog("own decision", "task", "own learning", "own task", "decision")
	for name, become := range map[string]func(*fakeHub){
		"restored":                       func(h *fakeHub) { h.become("hub-1", others(log[:1], 0)) },
		"restored and grown":             func(h *fakeHub) { h.become("hub-1", others(log[:1], 7)) },
		"restored to behind the mirrors": func(h *fakeHub) { h.become("hub-1", others(log[:3], 2)) },
		"replaced":                       func(h *fakeHub) { h.become("hub-2", others(nil, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			hub, c := newHub(t, nil)
			for n, done := 1, false; !done; n++ {
				d := newProject(t)
				end := len(log)
				if strings.Contains(name, "behind") {
					end = 2
				}
				place(t, d, log[:end], "decision")
				place(t, d, log[:end], "task")
				noteAll(t, d, log)
				become(hub)
				failing := *d
				failing.disk = failAt(n)
				_, err := Sync(t.Context(), &failing, &ownConn, c, Options{})
				switch {
				case err == nil:
					done = true
				case !errors.Is(err, errDisk) || !strings.Contains(err.Error(), d.hubPath("")):
					t.Fatalf("operation %d: the error does not name the file: %v", n, err)
				}
				if _, err := Sync(t.Context(), d, &ownConn, c, Options{}); err != nil {
					t.Fatal(err)
				}
				settledAll(t, d, hub, log)
			}
		})
	}
}

// TestADebtIsInTheStateThatNoticedTheLoss: whatever write is the last before a kill, either the loss will be noticed
// again or the debt is written down.
func TestADebtIsInTheStateThatNoticedTheLoss(t *testing.T) {
	log := ownLog("own decision", "task", "decision")
	hub, c := newHub(t, log)
	d := newProject(t)
	place(t, d, log, "decision")
	noteAll(t, d, log)
	hub.become("hub-1", others(nil, 5))
	hub.refuse = func([]*hubv1.NewEntry) error { return connect.NewError(connect.CodeUnavailable, errors.New("full")) }
	_, err := Sync(t.Context(), d, &ownConn, c, Options{})
	if err == nil || !strings.Contains(err.Error(), "own entries are not published again yet") {
		t.Fatalf("a hub that takes nothing: %v", err)
	}
	_, now, _ := hub.look()
	wantMirrors(t, d, undisturbed(now, ownConn.Types...)) // the mirrors do not wait
	if st, _ := d.State(); st.Owed == nil || st.Owed.ID == "" {
		t.Fatalf("no debt in %+v", st)
	}
	hub.refuse = nil
	res, err := Sync(t.Context(), d, &ownConn, c, Options{})
	if err != nil || res.Republished != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	settledAll(t, d, hub, log)
}

// TestAMovedProjectLeaksNothing: what was published at one address is not published at another, though the hub
// there is another one, too.
func TestAMovedProjectLeaksNothing(t *testing.T) {
	log := ownLog("own decision", "task")
	for name, tc := range map[string]struct {
		change func(*Connection)
		stored int
	}{
		"replaced at the same address": {func(*Connection) {}, 1},
		"moved to another address":     {func(c *Connection) { c.HubAddr = "http://elsewhere:9900" }, 0},
		"under another name":           {func(c *Connection) { c.Project = "other" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newProject(t)
			hub, c := newHub(t, nil)
			place(t, d, log, "decision")
			place(t, d, log, "task")
			noteAll(t, d, log)
			hub.become("hub-2", others(nil, 3))
			conn := ownConn
			conn.HubID = "hub-2"
			tc.change(&conn)
			res, err := Sync(t.Context(), d, &conn, c, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if hub.stored != tc.stored || res.Republished != tc.stored {
				t.Errorf("%d entries were published, and the result is %+v", hub.stored, res)
			}
			_, now, _ := hub.look()
			wantMirrors(t, d, undisturbed(now, ownConn.Types...))
			if st, _ := d.State(); st.Owed != nil {
				t.Errorf("the debt is still there: %+v", st)
			}
		})
	}
}

// TestAMovedProjectMayComeBack: back at the hub that had them, own entries are this hub's again.
func TestAMovedProjectMayComeBack(t *testing.T) {
	log := ownLog("own decision", "task")
	d := newProject(t)
	hub, c := newHub(t, nil)
	place(t, d, log, "task")
	noteAll(t, d, log)
	hub.become("hub-2", others(nil, 3))
	away := ownConn
	away.HubAddr, away.HubID = "http://elsewhere:9900", "hub-2"
	if _, err := Sync(t.Context(), d, &away, c, Options{}); err != nil {
		t.Fatal(err)
	}
	hub.become("hub-1", others(log[:0], 4))
	if _, err := Sync(t.Context(), d, &ownConn, c, Options{}); err != nil {
		t.Fatal(err)
	}
	settledAll(t, d, hub, log)
}

// TestWhatIsNotTakenAgainIsTold: an entry that the hub refuses holds up no other, and is told by kind.
func TestWhatIsNotTakenAgainIsTold(t *testing.T) {
	log := ownLog("own decision", "own task", "own decision", "task", "task", "task", "own task", "own decision")
	hub, c := newHub(t, nil)
	d := newProject(t)
	place(t, d, log, "decision")
	noteAll(t, d, log)
	taken := entry(1, "decision", "something else")
	taken.Id = "own-2"
	hub.become("hub-1", others([]*hubv1.Entry{taken}, 0))
	hub.refuse = func(entries []*hubv1.NewEntry) error {
		for _, e := range entries {
			if e.Id == "own-7" { // which is behind the new head, too
				return connect.NewError(connect.CodeInvalidArgument, errors.New("no longer good"))
			}
		}
		return nil
	}
	res, err := Sync(t.Context(), d, &ownConn, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"3 own entries were lost by the hub and published again",
		"1 own entry was not published again: the hub has something else under the same id",
		"1 own entry was not published again: the hub does not take it any more (invalid_argument: no longer good)",
	}
	if !reflect.DeepEqual(res.Told, want) {
		t.Errorf("told %q", res.Told)
	}
	if st, _ := d.State(); st.Owed != nil {
		t.Errorf("the debt is still there: %+v", st)
	}
	stored := hub.stored
	if res, err := Sync(t.Context(), d, &ownConn, c, Options{}); err != nil || res.news() || hub.stored != stored {
		t.Errorf("the next sync: %+v, %v", res, err)
	}
}

// TestManyOwnEntriesGoInBatches: they keep to the limits of a request, and to their order.
func TestManyOwnEntriesGoInBatches(t *testing.T) {
	hub, c := newHub(t, nil)
	d := newProject(t)
	log := make([]*hubv1.Entry, 300)
	for i := range log {
		text := "short"
		if i < 6 {
			text = strings.Repeat("x", client.MaxContentBytes)
		}
		log[i] = entry(uint64(i+1), "learning", text)
		log[i].Id, log[i].Origin = fmt.Sprint("own-", i), "own"
	}
	place(t, d, log, "decision")
	noteAll(t, d, log)
	sizes := []int{}
	hub.become("hub-1", nil)
	hub.refuse = func(entries []*hubv1.NewEntry) error {
		sizes = append(sizes, len(entries))
		return nil
	}
	res, err := Sync(t.Context(), d, &ownConn, c, Options{})
	if err != nil || res.Republished != 300 {
		t.Fatalf("%d, %v", res.Republished, err)
	}
	if want := []int{4, 256, 40}; !reflect.DeepEqual(sizes, want) {
		t.Errorf("requests of %v entries", sizes)
	}
	settledAll(t, d, hub, log)
	if _, now, _ := hub.look(); now[299].Id != "own-299" || now[0].Id != "own-0" {
		t.Error("they are not in their order")
	}
}

// TestEntriesOfAnArchiveThatWasTakenAwayAreNotLost: they are not published again.
func TestEntriesOfAnArchiveThatWasTakenAwayAreNotLost(t *testing.T) {
	log := ownLog("own decision", "task", "own task", "decision", "own decision", "task")
	hub, c := newHub(t, log)
	d := newProject(t)
	place(t, d, log, "decision")
	place(t, d, log, "task")
	noteAll(t, d, log)
	hub.takeAway(3)
	hub.become("hub-1", others(log[:4], 1))
	var asked []string
	hub.refuse = func(entries []*hubv1.NewEntry) error {
		for _, e := range entries {
			asked = append(asked, e.Id)
		}
		return nil
	}
	res, err := Sync(t.Context(), d, &ownConn, c, Options{SkipMissing: true})
	if err != nil || res.Republished != 1 || res.Skipped != 3 {
		t.Fatalf("%+v, %v", res, err)
	}
	if !reflect.DeepEqual(asked, []string{"own-5"}) {
		t.Errorf("published again: %q", asked)
	}
}

func TestTwoRunsPayOneDebt(t *testing.T) {
	log := ownLog("own decision", "task", "own learning", "own task", "decision")
	hub, c := newHub(t, log)
	d := newProject(t)
	noteAll(t, d, log)
	l := listenAs(t, d, c, &ownConn)
	l.level(5)
	for round := range 10 {
		hub.become("hub-1", others(log[:round%4], round))
		if _, err := Sync(t.Context(), d, &ownConn, c, Options{}); err != nil {
			t.Fatal(err)
		}
		paid(t, d, hub)
	}
	l.end()
	if _, err := Sync(t.Context(), d, &ownConn, c, Options{}); err != nil {
		t.Fatal(err)
	}
	settledAll(t, d, hub, log)
}

// paid waits until nothing is owed and the mirrors are level.
func paid(t *testing.T, d *Dir, hub *fakeHub) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		st, err := d.State()
		_, now, _ := hub.look()
		if err == nil && st.Owed == nil && st.Cursor(ownConn.Types) == uint64(len(now)) {
			return
		}
	}
	t.Fatal("never paid and level")
}

func TestListenPaysItsDebts(t *testing.T) {
	log := ownLog("own decision", "task", "own learning", "own task", "decision")
	hub, c := newHub(t, log)
	d := newProject(t)
	noteAll(t, d, log)
	l := listenAs(t, d, c, &ownConn)
	l.level(5)
	hub.become("hub-1", others(log[:1], 6))
	res := l.until("published again", func(r Result) bool { return r.Republished > 0 })
	if res.Republished != 2 || !slices.Contains(res.Told, "2 own entries were lost by the hub and published again") {
		t.Errorf("told %+v", res)
	}
	paid(t, d, hub)
	l.end()
	settledAll(t, d, hub, log)
}

// TestAHubWithoutSumsIsTakenAtItsWord: one of an earlier version works as it did.
func TestAHubWithoutSumsIsTakenAtItsWord(t *testing.T) {
	d := newProject(t)
	log := stream(60)
	hub, c := newHub(t, log[:30])
	mustSync(t, d, c, log[:30], "task")
	hub.bare = true
	hub.become("hub-1", log[:40])
	if res := mustSync(t, d, c, log[:40], "task"); len(res.Rebuilt) > 0 {
		t.Errorf("built anew: %q", res.Rebuilt)
	}
	if st, _ := d.State(); st.Mirrors["task"].Sum != "" {
		t.Errorf("a sum from somewhere else: %+v", st)
	}
	hub.bare = false
	for _, n := range []int{40, 60} { // a state without a sum gets it with the next message, also of an idle hub
		hub.become("hub-1", log[:n])
		if res := mustSync(t, d, c, log[:n], "task"); len(res.Rebuilt) > 0 {
			t.Errorf("built anew: %q", res.Rebuilt)
		}
		if st, _ := d.State(); st.Mirrors["task"].Sum != chain(log)[n] {
			t.Errorf("the sum at %d is %q", n, st.Mirrors["task"].Sum)
		}
	}
}

func TestHeartbeatsCarryTheSumAlong(t *testing.T) {
	d := newProject(t)
	log := []*hubv1.Entry{entry(1, "task", "one"), entry(2, "decision", "two"), entry(3, "decision", "three")}
	hub, c := newHub(t, log[:1])
	mustSync(t, d, c, log[:1], "task")
	hub.become("hub-1", log)
	if res := mustSync(t, d, c, log, "task"); res.New != 0 {
		t.Fatalf("%+v", res)
	}
	if st, _ := d.State(); st.Mirrors["task"].Sum != chain(log)[3] || st.Mirrors["task"].LastSequence != 3 {
		t.Fatalf("the state is %+v", st)
	}
	other := []*hubv1.Entry{log[0], log[1], entry(3, "learning", "another"), entry(4, "task", "four")}
	hub.become("hub-1", other)
	if res := mustSync(t, d, c, other, "task"); len(res.Rebuilt) != 1 {
		t.Errorf("built anew: %q", res.Rebuilt)
	}
}

func TestAMeetingOfMirrorsComparesSums(t *testing.T) {
	d := newProject(t)
	log := stream(60)
	hub, c := newHub(t, log)
	mustSync(t, d, c, log, "task")
	other := slices.Clone(log)
	for i := 50; i < 60; i++ {
		other[i] = entry(uint64(i+1), "task", "of another past")
	}
	other = others(other, 5)
	hub.become("hub-1", other)
	if err := os.Remove(filepath.Join(d.hubPath(""), "decisions.md")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	res := mustSync(t, d, c, other, "task", "decision") // decisions come from 0, and meet the tasks at 60
	if len(res.Rebuilt) != 1 || !strings.Contains(res.Rebuilt[0], "up to 60 is another one") {
		t.Errorf("built anew: %q", res.Rebuilt)
	}
}

func TestSkippingIsAsked(t *testing.T) {
	d := newProject(t)
	log := stream(60)
	hub, c := newHub(t, log[:20])
	mustSync(t, d, c, log[:20], "task")
	hub.become("hub-1", log)
	hub.takeAway(35)
	conn := &Connection{Types: []string{"task", "decision"}}
	for range 2 {
		_, err := Sync(t.Context(), d, conn, c, Options{})
		if connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Fatalf("without asking: %v", err)
		}
	}
	res, err := Sync(t.Context(), d, conn, c, Options{SkipMissing: true})
	if err != nil || res.Skipped != 35 || len(res.Rebuilt) > 0 || len(res.Told) != 1 || !strings.Contains(res.Told[0], "entries up to 35 are no longer on the hub") {
		t.Fatalf("%+v, %v", res, err)
	}
	// What was mirrored before is kept; what comes after the gap is there.
	want := undisturbed(append(slices.Clone(log[:20]), log[35:]...), "task")
	want["decisions.md"] = undisturbed(log[35:], "decision")["decisions.md"]
	wantMirrors(t, d, want)
	if res, err := Sync(t.Context(), d, conn, c, Options{}); err != nil || res.news() {
		t.Errorf("behind the gap nothing is missing: %+v, %v", res, err)
	}
	other := newProject(t)
	l := &listening{t: t}
	l.start(other, c, conn, Options{SkipMissing: true})
	if res := l.until("skipped", func(r Result) bool { return r.Skipped > 0 }); res.Skipped != 35 {
		t.Errorf("listen: %+v", res)
	}
	l.end()
}

func TestNonsenseSumsAreRefused(t *testing.T) {
	sum := func(c string) string { return strings.Repeat(c, 64) }
	for name, tc := range map[string]struct {
		second *hubv1.SyncResponse
		skip   bool
		want   error
	}{
		"skips unasked":     {second: &hubv1.SyncResponse{Cursor: 20, Skipped: 15}, want: ErrBadStream},
		"skips too far":     {skip: true, second: &hubv1.SyncResponse{Cursor: 20, Skipped: 25}, want: ErrBadStream},
		"skips":             {skip: true, second: &hubv1.SyncResponse{Cursor: 20, Skipped: 15, AfterSum: sum("9")}},
		"a link is missing": {second: &hubv1.SyncResponse{Cursor: 20, AfterSum: sum("b"), Sum: sum("c")}, want: ErrBadStream},
		"follows on":        {second: &hubv1.SyncResponse{Cursor: 20, AfterSum: sum("a"), Sum: sum("c")}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &batch{hub: "h", skip: tc.skip}
			first := &hubv1.SyncResponse{HubId: "h", Cursor: 10, Head: 20, Sum: sum("a")}
			if err := b.add(first); err != nil {
				t.Fatal(err)
			}
			tc.second.HubId, tc.second.Head = "h", 20
			if err := b.add(tc.second); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAListenMissesAgainWhatItHasSettled: a hub may be restored more than once in the life of a listen, each time to
// a point that the mirrors have not passed.
func TestAListenMissesAgainWhatItHasSettled(t *testing.T) {
	d := newProject(t)
	hub, c := newHub(t, nil)
	m := runOf(t, d, "task")
	m.conn = &ownConn
	step := func(log []*hubv1.Entry, owed bool) {
		t.Helper()
		if _, err := replay(m, log, 100); err != nil {
			t.Fatal(err)
		}
		if (m.owed != nil) != owed {
			t.Fatalf("owed: %+v", m.owed)
		}
	}
	log := ownLog("task", "own learning")
	step(log[:1], false)
	noteAll(t, d, log)
	step(log, true) // of a type that is not mirrored: it may have been lost
	hub.become("hub-1", log)
	var res Result
	m.repay(t.Context(), c, &res)
	if m.owed != nil || hub.stored != 1 || res.news() {
		t.Fatalf("%+v, %+v", m.owed, res)
	}
	more := others(log, 2)
	step(more, false)
	third := entry(5, "learning", "text 5")
	third.Id = "own-5"
	noteAll(t, d, []*hubv1.Entry{third})
	step(others(more, 3), true)
	if len(m.settled) != 0 {
		t.Errorf("settled for ever: %v", m.settled)
	}
}

// TestABatchOfAnotherPastIsNotMixedIn: a run may still hold what it read before the hub was restored, when another
// has already begun to build the mirrors anew.
func TestABatchOfAnotherPastIsNotMixedIn(t *testing.T) {
	log := stream(60)
	other := others(log[:40], 30)
	for at := 40; at <= 70; at++ {
		d := newProject(t)
		slow, quick := runOf(t, d, Types()...), runOf(t, d, Types()...)
		if _, err := replay(slow, log[:50], 100); err != nil {
			t.Fatal(err)
		}
		held := cut(log, chain(log), leg{after: 50, kinds: slow.kinds}, 10)
		if err := os.Remove(d.hubPath(stateFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := replay(quick, other[:at], 100); err != nil {
			t.Fatal(err)
		}
		_, err := slow.apply(t.Context(), held)
		// Nothing of it is taken where the mirrors are already past it.
		if !errors.Is(err, errMoved) && at <= 60 {
			t.Errorf("mirrors at %d: %v", at, err)
		}
		wantMirrors(t, d, undisturbed(other[:at], Types()...))
	}
}

// TestALossIsADebtAtOnce: what takes the mirrors off the state also writes down what is owed, in one step.
func TestALossIsADebtAtOnce(t *testing.T) {
	log := ownLog("own decision", "task")
	for name, restored := range map[string]*restoredError{
		"shorter": {head: 1},
		"another": {at: 2, sum: chain(others(nil, 2))[2]},
	} {
		t.Run(name, func(t *testing.T) {
			d := newProject(t)
			place(t, d, log, "decision")
			m := runOf(t, d, "decision")
			m.hub = "hub-1"
			writes := 0
			rename := d.disk.rename
			d.disk.rename = func(from, to string) error {
				writes++
				return rename(from, to)
			}
			why, err := m.forget(t.Context(), restored)
			if err != nil || len(why) != 1 || writes != 1 {
				t.Fatalf("%q, %v, %d writes", why, err, writes)
			}
			if st, err := d.State(); err != nil || len(st.Mirrors) > 0 || st.Owed == nil || st.Owed.After != 0 {
				t.Errorf("%v: %+v", err, st)
			}
			if why, err := m.forget(t.Context(), restored); err != nil || len(why) > 0 || writes != 1 {
				t.Errorf("again: %q, %v, %d writes", why, err, writes)
			}
		})
	}
}

// TestALaterDebtIsNotTakenForPaid: while one run pays, another may find that the hub was restored once more.
func TestALaterDebtIsNotTakenForPaid(t *testing.T) {
	log := ownLog("own decision", "task")
	hub, c := newHub(t, nil)
	d := newProject(t)
	place(t, d, log, "decision")
	noteAll(t, d, log)
	hub.become("hub-1", others(nil, 4))
	requests := 0
	hub.refuse = func([]*hubv1.NewEntry) error {
		if requests++; requests > 1 {
			return nil
		}
		unlock, err := d.lock(t.Context(), lockWait)
		if err != nil {
			return err
		}
		defer unlock()
		st, err := d.State()
		if err != nil {
			return err
		}
		st.owe(0)
		return d.putState(st)
	}
	if _, err := Sync(t.Context(), d, &ownConn, c, Options{}); err != nil {
		t.Fatal(err)
	}
	if requests != 2 {
		t.Errorf("published again %d times", requests)
	}
	settledAll(t, d, hub, log)
}
