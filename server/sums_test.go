package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

var sumTypes = []string{"decision", "learning", "convention", "task"}

// publishMixed publishes entries of all types, some alone and some together.
func publishMixed(t testing.TB, c hubv1connect.HubServiceClient, name string, n int) {
	t.Helper()
	for i := 0; i < n; {
		var batch []*hubv1.NewEntry
		for range 1 + i%5 {
			batch = append(batch, &hubv1.NewEntry{Id: fmt.Sprint(name, "-", i), Type: sumTypes[i*i%7%4], Content: fmt.Sprint("text ", i)})
			i++
		}
		publish(t, c, batch...)
	}
}

// fileSums are the sums in entries.jsonl by sequence, from the file itself.
func fileSums(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "entries.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	sums := []string{""}
	for line := range strings.Lines(string(data)) {
		var e struct {
			Sequence uint64
			Sum      string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Sequence != uint64(len(sums)) || len(e.Sum) != 64 {
			t.Fatalf("%v: %s", err, line)
		}
		sums = append(sums, e.Sum)
	}
	return sums
}

// place is where a message stands in the log.
type place struct {
	cursor        uint64
	sum, afterSum string
}

// wantChained wants messages to follow on from each other, and each of their sums to be that of its line.
func wantChained(t *testing.T, what string, after uint64, got []place, sums []string) {
	t.Helper()
	for i, p := range got {
		if p.afterSum != sums[after] || p.sum != sums[p.cursor] || p.cursor < after {
			t.Fatalf("%s: message %d goes from %d to %d with sums %.8s and %.8s, and the file has %.8s and %.8s",
				what, i, after, p.cursor, p.afterSum, p.sum, sums[after], sums[p.cursor])
		}
		after = p.cursor
	}
}

// TestMessagesOfASyncAreChained: with every filter, from everywhere, to everywhere, from the file as from memory.
func TestMessagesOfASyncAreChained(t *testing.T) {
	r := start(t, nil)
	project := r.project(t, "api")
	publishMixed(t, project, "a", 1300) // more than a batch, and than what is kept in memory
	sums := fileSums(t, r.dir)
	head := uint64(len(sums) - 1)
	messages := 0
	for _, types := range [][]string{nil, {"task"}, {"decision", "convention"}} {
		for _, after := range []uint64{0, 1, 200, 777, head - 1, head} {
			for _, until := range []uint64{0, after, after + 1, 900, head} {
				if until > 0 && until < after || until > head {
					continue
				}
				what := fmt.Sprintf("%v from %d until %d", types, after, until)
				stream, err := project.Sync(t.Context(), &hubv1.SyncRequest{After: after, Until: until, Types: types})
				if err != nil {
					t.Fatal(err)
				}
				var got []place
				for stream.Receive() {
					m := stream.Msg()
					got = append(got, place{m.GetCursor(), m.GetSum(), m.GetAfterSum()})
				}
				if err := stream.Err(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				wantChained(t, what, after, got, sums)
				end := until
				if until == 0 {
					end = head
				}
				if len(got) == 0 || got[len(got)-1].cursor != end {
					t.Fatalf("%s: it ends with %+v", what, got)
				}
				messages += len(got)
			}
		}
	}
	if messages < 100 {
		t.Errorf("only %d messages: this shows nothing", messages)
	}
}

// TestMessagesOfAListenAreChained: while others publish, with heartbeats and with types that pass by.
func TestMessagesOfAListenAreChained(t *testing.T) {
	const each = 150
	r := start(t, func(c *Config) { c.Heartbeat = 100 * time.Millisecond })
	project := r.project(t, "api")
	publishMixed(t, project, "before", 100)
	before, err := project.Status(t.Context(), &hubv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	listens := []struct {
		after uint64
		types []string
	}{{0, nil}, {before.GetHead(), nil}, {17, []string{"task"}}, {before.GetHead(), []string{"decision", "learning"}}}
	heard := make([][]place, len(listens))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var publishers, listeners sync.WaitGroup
	var head uint64
	for i, l := range listens {
		stream, err := r.project(t, fmt.Sprint("reader-", i)).Listen(ctx, &hubv1.ListenRequest{After: l.after, Types: l.types})
		if err != nil {
			t.Fatal(err)
		}
		listeners.Go(func() {
			for stream.Receive() {
				m := stream.Msg()
				heard[i] = append(heard[i], place{m.GetCursor(), m.GetSum(), m.GetAfterSum()})
				for _, e := range m.GetEntries() {
					if strings.HasPrefix(e.GetId(), "end-") {
						return
					}
				}
			}
			t.Errorf("listener %d ended early: %v", i, stream.Err())
		})
	}
	for i := range 4 {
		writer := r.project(t, fmt.Sprint("writer-", i))
		publishers.Go(func() { publishMixed(t, writer, fmt.Sprint("w", i), each) })
	}
	publishers.Wait()
	// One of each type tells every listener that this is the end.
	var end []*hubv1.NewEntry
	for i, name := range sumTypes {
		end = append(end, &hubv1.NewEntry{Id: fmt.Sprint("end-", i), Type: name, Content: "the end"})
	}
	publish(t, project, end...)
	listeners.Wait()
	sums := fileSums(t, r.dir)
	for i, l := range listens {
		wantChained(t, fmt.Sprintf("listener %d", i), l.after, heard[i], sums)
		head = max(head, heard[i][len(heard[i])-1].cursor)
	}
	if head < 4*each {
		t.Errorf("they heard up to %d only: this shows nothing", head)
	}
}
