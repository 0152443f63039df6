package project

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// stream is a log of n entries of all types, and of one that no reader knows.
func stream(n int) []*hubv1.Entry {
	types := append(Types(), "../../pwned")
	list := make([]*hubv1.Entry, n)
	for i := range list {
		list[i] = entry(uint64(i+1), types[(i*i+i/3)%len(types)], hostile[i%16])
	}
	return list
}

// undisturbed is what the mirrors of a log must look like.
func undisturbed(log []*hubv1.Entry, types ...string) map[string]string {
	want := make(map[string]string)
	for _, k := range mirrored(types) {
		var b strings.Builder
		b.WriteString(header(k))
		for _, e := range log {
			if e.Type == k.name {
				render(&b, e)
			}
		}
		want[k.file] = b.String()
	}
	return want
}

// wantMirrors wants the mirrors to be exactly so, and nothing else in the directory.
func wantMirrors(t *testing.T, d *Dir, want map[string]string) {
	t.Helper()
	files, err := os.ReadDir(d.hubPath(""))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{stateFile, lockFile, notesFile}
	for _, f := range files {
		if _, ok := want[f.Name()]; !ok && !slices.Contains(allowed, f.Name()) {
			t.Errorf("there is a file %s", f.Name())
		}
	}
	sameMirrors(t, d, want)
}

func sameMirrors(t *testing.T, d *Dir, want map[string]string) {
	t.Helper()
	for name, text := range want {
		got, err := os.ReadFile(d.hubPath(name))
		if err != nil {
			t.Error(err)
		} else if string(got) != text {
			t.Errorf("%s has %d bytes, want %d; they differ from byte %d on", name, len(got), len(text), firstDifference(string(got), text))
		}
	}
}

func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func runOf(t testing.TB, d *Dir, types ...string) *mirrors {
	t.Helper()
	m, err := openMirrors(d, &Connection{Types: types}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// cut is what a hub would send for a leg: the part of the log with its types, up to a size.
func cut(log []*hubv1.Entry, sums []string, l leg, size int) *batch {
	end := uint64(len(log))
	if l.until > 0 {
		end = min(end, l.until)
	}
	end = min(end, l.after+uint64(size))
	b := &batch{hub: "hub-1", after: l.after, cursor: end, kinds: l.kinds}
	b.learn(l.after, sums[l.after])
	b.learn(end, sums[end])
	for _, e := range log[min(l.after, end):end] {
		if slices.Contains(names(l.kinds), e.Type) {
			b.entries = append(b.entries, e)
		}
	}
	return b
}

// replay applies a log from wherever the mirrors are until they are level. It is what Sync does, without a
// network. It returns the reasons for what was built anew.
func replay(m *mirrors, log []*hubv1.Entry, size int) ([]string, error) {
	var why []string
	sums := chain(log)
	for {
		next, err := m.survey(context.Background())
		if err != nil {
			return why, err
		}
		b := cut(log, sums, next, size)
		res, err := m.apply(context.Background(), b)
		if err != nil && !errors.Is(err, errMoved) {
			return why, err
		}
		why = append(why, res.Rebuilt...)
		if err == nil && next.until == 0 && b.cursor == uint64(len(log)) {
			return why, nil
		}
	}
}

func mustReplay(t *testing.T, d *Dir, log []*hubv1.Entry, types ...string) []string {
	t.Helper()
	why, err := replay(runOf(t, d, types...), log, 7)
	if err != nil {
		t.Fatal(err)
	}
	wantMirrors(t, d, undisturbed(log, types...))
	return why
}

func TestMirrorsFollowTheLog(t *testing.T) {
	d := newProject(t)
	log := stream(100)
	if why := mustReplay(t, d, nil, Types()...); len(why) > 0 {
		t.Errorf("built anew: %q", why)
	}
	for _, n := range []int{1, 2, 40, 41, 100} {
		if why := mustReplay(t, d, log[:n], Types()...); len(why) > 0 {
			t.Errorf("built anew: %q", why)
		}
	}
	st, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	if st.Cursor(Types()) != 100 || st.HubID != "hub-1" || st.LastSuccess.IsZero() {
		t.Errorf("state: %+v", st)
	}
}

func TestOneRunKeepsItsHash(t *testing.T) {
	d := newProject(t)
	log := stream(60)
	m := runOf(t, d, Types()...)
	for n := range log {
		if _, err := replay(m, log[:n+1], 1); err != nil {
			t.Fatal(err)
		}
	}
	wantMirrors(t, d, undisturbed(log, Types()...))
	mustReplay(t, d, log, Types()...) // a new run finds every hash right
}

func TestTypesComeAndGo(t *testing.T) {
	d := newProject(t)
	log := stream(90)
	mustReplay(t, d, log[:30], "decision")
	mustReplay(t, d, log[:60], "decision", "task")
	if why, err := replay(runOf(t, d, "task"), log[:80], 7); err != nil || len(why) > 0 {
		t.Fatal(why, err)
	}
	want := undisturbed(log[:80], "task")
	want["decisions.md"] = undisturbed(log[:60], "decision")["decisions.md"]
	wantMirrors(t, d, want)
	if why := mustReplay(t, d, log, "decision", "task"); len(why) > 0 {
		t.Errorf("built anew: %q", why)
	}
}

// TestDamageIsRepaired spoils the files of a project in every way and wants the next run to bring them back.
func TestDamageIsRepaired(t *testing.T) {
	edit := func(name string, change func(string) string) func(*testing.T, *Dir) {
		return func(t *testing.T, d *Dir) {
			data, err := os.ReadFile(d.hubPath(name))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, d.hubPath(name), []byte(change(string(data))))
		}
	}
	remove := func(names ...string) func(*testing.T, *Dir) {
		return func(t *testing.T, d *Dir) {
			for _, name := range names {
				os.Remove(d.hubPath(name))
			}
		}
	}
	put := func(text string) func(string) string { return func(string) string { return text } }
	for name, tc := range map[string]struct {
		spoil func(*testing.T, *Dir)
		why   string // part of the message; empty where nobody needs to know
	}{
		"tail of a killed run":     {edit("tasks.md", func(s string) string { return s + "## [2026-" }), ""},
		"edited":                   {edit("tasks.md", func(s string) string { return strings.Replace(s, "api", "ipa", 1) }), "tasks.md was edited"},
		"cut short":                {edit("tasks.md", func(s string) string { return s[:len(s)-1] }), "tasks.md was edited"},
		"emptied":                  {edit("tasks.md", put("")), "tasks.md was edited"},
		"mirror gone":              {remove("tasks.md"), "tasks.md was gone"},
		"state gone":               {remove(stateFile), ""},
		"all gone":                 {remove(stateFile, "tasks.md", "decisions.md", lockFile), ""},
		"state empty":              {edit(stateFile, put("")), "state was damaged"},
		"state cut short":          {edit(stateFile, func(s string) string { return s[:len(s)/2] }), "state was damaged"},
		"state is an array":        {edit(stateFile, put("[]")), "state was damaged"},
		"state of no sense":        {edit(stateFile, put(`{"version":1,"mirrors":{"task":{"bytes":-1}}}`)), "state was damaged"},
		"state of the predecessor": {edit(stateFile, put(`{"last_sequence": 3}`)), "earlier program"},
		"state with a wrong hash": {edit(stateFile, func(s string) string {
			return strings.Replace(s, `"sha256": "`, `"sha256": "0`, 1)
		}), "was edited or damaged"},
		"a temporary file": {func(t *testing.T, d *Dir) { writeFile(t, d.hubPath(stateFile+".tmp"), []byte("half")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newProject(t)
			log := stream(50)
			mustReplay(t, d, log[:40], "decision", "task")
			tc.spoil(t, d)
			why := mustReplay(t, d, log, "decision", "task")
			if tc.why == "" && len(why) > 0 || tc.why != "" && !strings.Contains(strings.Join(why, "\n"), tc.why) {
				t.Errorf("the reasons are %q, want %q", why, tc.why)
			}
		})
	}
}

func TestEditDuringARunIsNoticed(t *testing.T) {
	d := newProject(t)
	log := stream(50)
	m := runOf(t, d, "task")
	if _, err := replay(m, log[:40], 50); err != nil {
		t.Fatal(err)
	}
	writeFile(t, d.hubPath("tasks.md"), []byte("gone"))
	if _, err := m.apply(context.Background(), cut(log, chain(log), leg{after: 40, kinds: m.kinds}, 50)); !errors.Is(err, errMoved) {
		t.Fatalf("got %v", err)
	}
	if _, err := replay(m, log, 50); err != nil {
		t.Fatal(err)
	}
	wantMirrors(t, d, undisturbed(log, "task"))
}

func TestBatchesAreNeitherDoubledNorSkipped(t *testing.T) {
	d := newProject(t)
	log := stream(50)
	a, b := runOf(t, d, "task"), runOf(t, d, "task")
	apply := func(m *mirrors, after uint64, size int) (int, error) {
		res, err := m.apply(context.Background(), cut(log, chain(log), leg{after: after, kinds: m.kinds}, size))
		return res.New, err
	}
	if _, err := apply(a, 0, 20); err != nil {
		t.Fatal(err)
	}
	if n, err := apply(b, 0, 15); n != 0 || err != nil {
		t.Errorf("what was there already: %d, %v", n, err)
	}
	if _, err := apply(b, 15, 20); !errors.Is(err, errMoved) {
		t.Errorf("an overlap whose sum is not known: %v", err)
	}
	if _, err := apply(b, 20, 15); err != nil {
		t.Error(err)
	}
	if _, err := apply(a, 36, 10); !errors.Is(err, errMoved) {
		t.Errorf("a gap: %v", err)
	}
	if _, err := apply(a, 35, 15); err != nil {
		t.Error(err)
	}
	wantMirrors(t, d, undisturbed(log, "task"))
}

func TestNewerStateIsLeftAlone(t *testing.T) {
	d := newProject(t)
	log := stream(20)
	mustReplay(t, d, log, "task")
	newer := []byte(`{"version":2,"mirrors":[1,2,3]}`)
	writeFile(t, d.hubPath(stateFile), newer)
	_, err := replay(runOf(t, d, "task"), log, 7)
	if !errors.Is(err, ErrNewerState) || !strings.Contains(err.Error(), stateFile) {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(d.hubPath(stateFile)); string(got) != string(newer) {
		t.Error("the newer state was changed")
	}
}

// TestEveryFailureCanBeResumed fails each single operation of a run in turn, and wants the next run to come
// to what an undisturbed one would have written.
func TestEveryFailureCanBeResumed(t *testing.T) {
	log := stream(40)
	for start, prepare := range map[string]func(*testing.T, *Dir){
		"from nothing": func(*testing.T, *Dir) {},
		"half way":     func(t *testing.T, d *Dir) { mustReplay(t, d, log[:20], "decision", "task") },
		"over an edited mirror": func(t *testing.T, d *Dir) {
			mustReplay(t, d, log, "decision", "task")
			writeFile(t, d.hubPath("tasks.md"), []byte(strings.Repeat("something longer than it was\n", 1000)))
		},
	} {
		t.Run(start, func(t *testing.T) {
			for n, done := 1, false; !done; n++ {
				d := newProject(t)
				prepare(t, d)
				failing := *d
				failing.disk = failAt(n)
				_, err := replay(runOf(t, &failing, "decision", "task"), log, 15)
				switch {
				case err == nil:
					done = true
				case !errors.Is(err, errDisk) || !strings.Contains(err.Error(), d.hubPath("")):
					t.Fatalf("operation %d: the error does not name the file: %v", n, err)
				}
				mustReplay(t, d, log, "decision", "task")
			}
		})
	}
}

// TestOneRunResumesAfterAFailure is the same for a listener that lives on, with its hashes in memory.
func TestOneRunResumesAfterAFailure(t *testing.T) {
	log := stream(40)
	for n := 1; n < 40; n++ {
		d := newProject(t)
		d.disk = failAt(n)
		m := runOf(t, d, "decision", "task")
		_, err := replay(m, log, 15)
		d.disk = system
		if err == nil {
			return
		}
		if _, err := replay(m, log, 15); err != nil {
			t.Fatal(err)
		}
		wantMirrors(t, d, undisturbed(log, "decision", "task"))
	}
	t.Error("a run takes more operations than expected")
}

func TestAMirrorIsNotWrittenThroughALink(t *testing.T) {
	d := newProject(t)
	mustReplay(t, d, nil, "task")
	victim := filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, []byte("precious"))
	os.Remove(d.hubPath("tasks.md"))
	if err := os.Symlink(victim, d.hubPath("tasks.md")); err != nil {
		t.Logf("no links here (%v): a directory does as well", err)
		mkdirs(t, d.hubPath("tasks.md"))
	}
	_, err := replay(runOf(t, d, "task"), stream(9), 7)
	if err == nil || !strings.Contains(err.Error(), "tasks.md is not a regular file") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "precious" {
		t.Error("a file outside was written to")
	}
}

func TestUnwritableHubDirectoryIsNamed(t *testing.T) {
	d := newProject(t)
	writeFile(t, filepath.Join(d.Root(), contextDir, hubDir), []byte("a file in its place"))
	_, err := replay(runOf(t, d, "task"), stream(9), 7)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(contextDir, hubDir)) {
		t.Errorf("got %v", err)
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	d := newProject(t)
	unlock, err := d.lock(context.Background(), lockWait)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.lock(context.Background(), 20*lockRetry); !errors.Is(err, ErrLocked) {
		t.Errorf("a held lock: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.lock(ctx, lockWait); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted wait: %v", err)
	}
	unlock()
	again, err := d.lock(context.Background(), lockWait)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestBatchRefusesNonsense(t *testing.T) {
	at := func(seqs ...uint64) (list []*hubv1.Entry) {
		for _, s := range seqs {
			list = append(list, entry(s, "task", "x"))
		}
		return list
	}
	var restored *restoredError
	for name, tc := range map[string]struct {
		hub          string
		cursor, head uint64
		entries      []*hubv1.Entry
		want         func(error) bool
	}{
		"good":          {"h", 12, 20, at(11, 12), func(err error) bool { return err == nil }},
		"heartbeat":     {"h", 10, 10, nil, func(err error) bool { return err == nil }},
		"no hub":        {"", 12, 20, nil, func(err error) bool { return errors.Is(err, ErrBadStream) }},
		"another hub":   {"i", 12, 20, nil, func(err error) bool { return errors.Is(err, errMoved) }},
		"restored":      {"h", 5, 5, nil, func(err error) bool { return errors.As(err, &restored) }},
		"cursor back":   {"h", 5, 20, nil, func(err error) bool { return errors.Is(err, ErrBadStream) }},
		"known already": {"h", 12, 20, at(10), func(err error) bool { return errors.Is(err, ErrBadStream) }},
		"twice":         {"h", 12, 20, at(11, 11), func(err error) bool { return errors.Is(err, ErrBadStream) }},
		"out of order":  {"h", 12, 20, at(12, 11), func(err error) bool { return errors.Is(err, ErrBadStream) }},
		"past cursor":   {"h", 12, 20, at(13), func(err error) bool { return errors.Is(err, ErrBadStream) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := &batch{hub: "h", after: 10, cursor: 10}
			msg := &hubv1.SyncResponse{HubId: tc.hub, Cursor: tc.cursor, Head: tc.head, Entries: tc.entries}
			if err := b.add(msg); !tc.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheMirrorsDirectoryIsNoLink(t *testing.T) {
	d := newProject(t)
	victim := t.TempDir()
	writeFile(t, filepath.Join(victim, "tasks.md"), []byte("precious"))
	if err := os.Symlink(victim, filepath.Join(d.Root(), contextDir, hubDir)); err != nil {
		t.Logf("no links here: %v", err)
		return
	}
	if _, err := replay(runOf(t, d, "task"), stream(9), 7); !errors.Is(err, ErrLink) {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(victim, "tasks.md")); string(got) != "precious" {
		t.Errorf("a file outside was written to: %q", got)
	}
}
