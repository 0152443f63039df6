// Package hubtest says as tests what any hub.Writer must do.
package hubtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ctxhub/server/hub"
)

// Node is a Writer with the reads that show what it did.
type Node interface {
	hub.Writer
	All(t *testing.T) []hub.Entry // the log
	Authenticate(hub.TokenHash) (hub.Project, bool)
	Projects() []hub.Project
}

// Entry returns a valid entry.
func Entry(id, content string) hub.Entry {
	return hub.Entry{ID: id, Type: hub.Learning, Content: content, Origin: "api", Timestamp: time.Now().UTC()}
}

// TestWriter runs every check, each on a new Node.
func TestWriter(t *testing.T, open func(t *testing.T) Node) {
	for name, check := range map[string]func(*testing.T, Node){
		"append numbers without gaps":                appendNumbers,
		"the same id again is the same entry":        sameAgain,
		"another content under an id stores nothing": idTaken,
		"concurrent appends are in one order":        concurrent,
		"a cancelled append leaves the log whole":    cancelled,
		"register": register,
		"revoke":   revoke,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func mustAppend(t *testing.T, w hub.Writer, entries ...hub.Entry) []uint64 {
	t.Helper()
	sequences, err := w.Append(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	return sequences
}

func wantLog(t *testing.T, n Node, ids ...string) {
	t.Helper()
	all := n.All(t)
	if len(all) != len(ids) {
		t.Fatalf("the log has %d entries, want %d", len(all), len(ids))
	}
	for i, e := range all {
		if e.ID != ids[i] || e.Sequence != uint64(i+1) {
			t.Errorf("entry %d is %s with sequence %d, want %s", i+1, e.ID, e.Sequence, ids[i])
		}
	}
}

func appendNumbers(t *testing.T, n Node) {
	first := mustAppend(t, n, Entry("a", "1"))
	rest := mustAppend(t, n, Entry("b", "2"), Entry("c", "3"))
	if fmt.Sprint(first, rest) != "[1] [2 3]" {
		t.Errorf("sequences %v, %v", first, rest)
	}
	wantLog(t, n, "a", "b", "c")
}

func sameAgain(t *testing.T, n Node) {
	mustAppend(t, n, Entry("a", "1"), Entry("b", "2"))
	again := mustAppend(t, n, Entry("b", "2"), Entry("c", "3"), Entry("c", "3"), Entry("a", "1"))
	if fmt.Sprint(again) != "[2 3 3 1]" {
		t.Errorf("sequences %v", again)
	}
	wantLog(t, n, "a", "b", "c")
}

func idTaken(t *testing.T, n Node) {
	mustAppend(t, n, Entry("a", "1"))
	other := Entry("a", "1")
	other.Origin = "someone-else"
	for name, batch := range map[string][]hub.Entry{
		"content":          {Entry("new", "x"), Entry("a", "other"), Entry("new2", "y")},
		"origin":           {other},
		"within the batch": {Entry("new", "x"), Entry("new", "y")},
	} {
		if sequences, err := n.Append(t.Context(), batch); !errors.Is(err, hub.ErrIDTaken) {
			t.Errorf("%s: %v, %v; want ErrIDTaken", name, sequences, err)
		}
	}
	mustAppend(t, n, Entry("new", "z"))
	wantLog(t, n, "a", "new")
}

func concurrent(t *testing.T, n Node) {
	const publishers, each = 16, 25
	got := make([]uint64, publishers*each)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				// Two publishers share each id, as a retry and its original may.
				id := fmt.Sprintf("%d-%d", p/2, i)
				sequences, err := n.Append(t.Context(), []hub.Entry{Entry(id, id)})
				if err != nil {
					t.Error(err)
					return
				}
				got[p*each+i] = sequences[0]
			}
		})
	}
	wg.Wait()
	all := n.All(t)
	if len(all) != publishers*each/2 {
		t.Fatalf("%d entries, want %d", len(all), publishers*each/2)
	}
	for p := range publishers {
		for i := range each {
			if id := fmt.Sprintf("%d-%d", p/2, i); all[got[p*each+i]-1].ID != id {
				t.Fatalf("%s was answered with the sequence of %s", id, all[got[p*each+i]-1].ID)
			}
		}
	}
}

func cancelled(t *testing.T, n Node) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 20 {
		_, err := n.Append(ctx, []hub.Entry{Entry(fmt.Sprint("cancelled-", i), "x")})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	sequences := mustAppend(t, n, Entry("after", "y"))
	all := n.All(t)
	if last := all[len(all)-1]; last.ID != "after" || last.Sequence != sequences[0] {
		t.Errorf("the last entry is %+v, want the one acknowledged as %d", last, sequences[0])
	}
}

func project(id, name, token string) hub.Project {
	return hub.Project{ID: id, Name: name, Token: hub.HashToken(token), Created: time.Now().UTC()}
}

func wantToken(t *testing.T, n Node, token, name string) {
	t.Helper()
	p, ok := n.Authenticate(hub.HashToken(token))
	if ok != (name != "") || p.Name != name {
		t.Errorf("token %s is of %q (%v), want %q", token, p.Name, ok, name)
	}
}

func register(t *testing.T, n Node) {
	ctx, none := t.Context(), hub.TokenHash{}
	if err := n.Register(ctx, project("1", "api", "t1"), none); err != nil {
		t.Fatal(err)
	}
	if err := n.Register(ctx, project("1", "api", "t1"), none); err != nil {
		t.Errorf("the same registration again: %v", err)
	}
	if err := n.Register(ctx, project("2", "api", "t2"), none); !errors.Is(err, hub.ErrNameTaken) {
		t.Errorf("a taken name: %v", err)
	}
	if err := n.Register(ctx, project("3", "api", "t3"), hub.HashToken("wrong")); !errors.Is(err, hub.ErrNameTaken) {
		t.Errorf("a taken name with a wrong proof: %v", err)
	}
	wantToken(t, n, "t1", "api")
	if err := n.Register(ctx, project("4", "api", "t4"), hub.HashToken("t1")); err != nil {
		t.Errorf("its owner: %v", err)
	}
	wantToken(t, n, "t1", "")
	wantToken(t, n, "t4", "api")
	wantToken(t, n, "t2", "")
}

func revoke(t *testing.T, n Node) {
	ctx, none := t.Context(), hub.TokenHash{}
	for _, p := range []hub.Project{project("1", "api", "t1"), project("2", "web", "t2")} {
		if err := n.Register(ctx, p, none); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Revoke(ctx, "nobody", time.Now()); !errors.Is(err, hub.ErrNoProject) {
		t.Errorf("an unknown project: %v", err)
	}
	at := time.Now().UTC()
	for _, when := range []time.Time{at, at.Add(time.Hour)} {
		if err := n.Revoke(ctx, "api", when); err != nil {
			t.Fatal(err)
		}
	}
	wantToken(t, n, "t1", "")
	wantToken(t, n, "t2", "web")
	if all := n.Projects(); len(all) != 2 || all[0].Name != "api" || !all[0].Revoked.Equal(at) || !all[1].Active() {
		t.Errorf("projects %+v", all)
	}
	if err := n.Register(ctx, project("1", "api", "t1"), none); err != nil {
		t.Errorf("a replayed registration: %v", err)
	}
	wantToken(t, n, "t1", "") // a replay does not bring it back
	if err := n.Register(ctx, project("3", "api", "t3"), none); err != nil {
		t.Errorf("a revoked project's name: %v", err)
	}
	wantToken(t, n, "t3", "api")
}
