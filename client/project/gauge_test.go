package project

import (
	"testing"
)

// ways are told by a Sync, as parts of the whole.
type ways struct {
	t           *testing.T
	done, total uint64
	told        int
}

func (w *ways) show(done, total uint64) {
	w.told++
	if done > total || done*w.total < w.done*total {
		w.t.Errorf("it ran backwards: %d of %d after %d of %d", done, total, w.done, w.total)
	}
	w.done, w.total = done, total
}

func (w *ways) end(total uint64) {
	w.t.Helper()
	if w.told == 0 || w.done != w.total || w.total != total {
		w.t.Errorf("it ended at %d of %d, want %d", w.done, w.total, total)
	}
}

// TestProgressNeverRunsBackwards: with mirrors at three places the legs are parts of one way, from where the last
// mirror is to the head.
func TestProgressNeverRunsBackwards(t *testing.T) {
	d := newProject(t)
	log := stream(95)
	hub, c := newHub(t, log)
	for name, at := range map[string]int{"task": 10, "decision": 40, "learning": 70} {
		if _, err := replay(runOf(t, d, name), log[:at], 100); err != nil {
			t.Fatal(err)
		}
	}
	w := &ways{t: t}
	conn := &Connection{Types: []string{"task", "decision", "learning"}}
	if _, err := Sync(t.Context(), d, conn, c, Options{Progress: w.show}); err != nil {
		t.Fatal(err)
	}
	w.end(85)
	if w.told < 8 {
		t.Errorf("told %d times", w.told)
	}

	// The hub was restored, which is noticed on the way: the way becomes longer, and the bar waits.
	hub.become("hub-1", others(log[:60], 60))
	w = &ways{t: t}
	if _, err := replay(runOf(t, d, "convention"), log[:50], 100); err != nil {
		t.Fatal(err)
	}
	conn.Types = append(conn.Types, "convention")
	if _, err := Sync(t.Context(), d, conn, c, Options{Progress: w.show}); err != nil {
		t.Fatal(err)
	}
	w.end(40 + 120) // from 50 to 90, behind which the mirrors met another past, and then all of it
}
