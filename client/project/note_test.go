package project

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

func published(i int) *hubv1.NewEntry {
	return &hubv1.NewEntry{Id: fmt.Sprint("own-", i), Type: "task", Content: fmt.Sprintf("text %d <&>\n", i)}
}

func readNotes(t *testing.T, d *Dir) (ids []string) {
	t.Helper()
	lines, err := d.noteLines()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if l.note == nil {
			t.Errorf("not a note: %q", l.raw)
			continue
		}
		ids = append(ids, l.note.ID)
	}
	return ids
}

func TestANoteHasAllThatItTakes(t *testing.T) {
	d := newProject(t)
	entry := published(1)
	entry.Meta = &hubv1.Meta{DisplayName: "Ada", Host: "vm", Tool: "t", Via: "v"}
	if err := d.Note(t.Context(), &example, entry, 7); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(d.hubPath(notesFile))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"own-1","type":"task","content":"text 1 <&>\n",` +
		`"meta":{"display_name":"Ada","host":"vm","tool":"t","via":"v"},` +
		`"project":"api","hub_addr":"http://nexus.local:9900","hub_id":"hub-1","sequence":7,"time":"`
	if !strings.HasPrefix(string(data), want) || !json.Valid(data) || bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("noted %s", data)
	}
	lines, err := d.noteLines()
	if err != nil {
		t.Fatal(err)
	}
	if again := lines[0].note.entry(); again.String() != entry.String() {
		t.Errorf("published again would be %v", again)
	}
}

// TestEveryFailureOfANoteIsHarmless fails each step of noting in turn. What was noted before stays, and the next
// note is a line of its own.
func TestEveryFailureOfANoteIsHarmless(t *testing.T) {
	for _, before := range []int{0, 2} {
		for n, done := 1, false; !done; n++ {
			d := newProject(t)
			for i := range before {
				if err := d.Note(t.Context(), &example, published(i), uint64(i+1)); err != nil {
					t.Fatal(err)
				}
			}
			failing := *d
			failing.disk = failAt(n)
			err := failing.Note(t.Context(), &example, published(8), 8)
			done = err == nil
			if err != nil && !errors.Is(err, errDisk) {
				t.Fatalf("operation %d: %v", n, err)
			}
			if err := d.Note(t.Context(), &example, published(9), 9); err != nil {
				t.Fatal(err)
			}
			ids := strings.Join(readNotes(t, d), " ")
			full := map[int]string{0: "", 2: "own-0 own-1 "}[before] + "own-8 own-9"
			if without := strings.Replace(full, "own-8 ", "", 1); ids != full && (done || ids != without) {
				t.Errorf("operation %d failed, and the notes are %q, want %q", n, ids, full)
			}
		}
	}
}

// TestEveryFailureOfARewriteKeepsTheNotes fails each step of writing the new sequences in turn.
func TestEveryFailureOfARewriteKeepsTheNotes(t *testing.T) {
	for n, done := 1, false; !done; n++ {
		d := newProject(t)
		for i := range 3 {
			if err := d.Note(t.Context(), &example, published(i), uint64(i+1)); err != nil {
				t.Fatal(err)
			}
		}
		failing := *d
		failing.disk = failAt(n)
		p := &payment{conn: &example, hub: "hub-2", done: map[string]uint64{"own-1": 20}}
		done = failing.putNotes(p.renew) == nil
		lines, err := d.noteLines()
		if err != nil || len(lines) != 3 {
			t.Fatalf("operation %d failed, and %d notes are left: %v", n, len(lines), err)
		}
		renewed := lines[1].note.Sequence == 20 && lines[1].note.HubID == "hub-2"
		if done && !renewed || !renewed && lines[1].note.Sequence != 2 || lines[0].note.Sequence != 1 || lines[2].note.HubID != "hub-1" {
			t.Errorf("operation %d failed, and the notes are half written", n)
		}
	}
}

// TestACutNoteIsHarmless cuts the file at every byte, as a kill may leave it. The whole lines count, and the next
// note does not stick to what is left of the last.
func TestACutNoteIsHarmless(t *testing.T) {
	d := newProject(t)
	for i := range 2 {
		if err := d.Note(t.Context(), &example, published(i), uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	path := d.hubPath(notesFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		writeFile(t, path, whole[:n])
		lines := bytes.Count(whole[:n], []byte("\n"))
		if ids := readNotes(t, d); len(ids) != lines {
			t.Errorf("cut at %d: %q", n, ids)
		}
		var x noteIndex
		if err := x.read(d); err != nil || len(x.list) != lines {
			t.Errorf("cut at %d: %v, %d are found", n, err, len(x.list))
		}
		if err := d.Note(t.Context(), &example, published(9), 9); err != nil {
			t.Fatal(err)
		}
		if ids := readNotes(t, d); len(ids) != lines+1 || ids[lines] != "own-9" {
			t.Errorf("cut at %d, and after the next note: %q", n, ids)
		}
		if err := x.read(d); err != nil || len(x.list) != lines+1 || x.list[lines].id != "own-9" {
			t.Errorf("cut at %d, read again: %v, %+v", n, err, x.list)
		}
	}
}

// TestALineThatIsNoNoteIsKept: what cannot be read here may be read by somebody else.
func TestALineThatIsNoNoteIsKept(t *testing.T) {
	d := newProject(t)
	if err := d.Note(t.Context(), &example, published(1), 1); err != nil {
		t.Fatal(err)
	}
	path := d.hubPath(notesFile)
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	strange := "{\"id\":3}\nnot JSON\n"
	writeFile(t, path, append([]byte(strange), first...))
	p := &payment{conn: &example, hub: "hub-1", done: map[string]uint64{"own-1": 5}}
	if err := d.putNotes(p.renew); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := strange + strings.Replace(string(first), `"sequence":1`, `"sequence":5`, 1); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestALongNoteIsFound: the end of the lines is found from behind, over more than one piece.
func TestALongNoteIsFound(t *testing.T) {
	d := newProject(t)
	if err := d.Note(t.Context(), &example, published(1), 1); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(d.hubPath(notesFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(strings.Repeat("x", 300_000)) // a torn note
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := d.Note(t.Context(), &example, published(2), 2); err != nil {
		t.Fatal(err)
	}
	if ids := readNotes(t, d); len(ids) != 2 || ids[1] != "own-2" {
		t.Errorf("noted %q", ids)
	}
}

func TestNotesAreNotWrittenThroughALink(t *testing.T) {
	d := newProject(t)
	victim := filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, []byte("precious\n"))
	mkdirs(t, d.hubPath(""))
	if err := os.Symlink(victim, d.hubPath(notesFile)); err != nil {
		t.Logf("no links here (%v): a directory does as well", err)
		mkdirs(t, d.hubPath(notesFile))
	}
	if err := d.Note(t.Context(), &example, published(1), 1); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "precious\n" {
		t.Errorf("a file outside was written to: %q", got)
	}
}

func TestNotesAtOnceAreLinesOfTheirOwn(t *testing.T) {
	d := newProject(t)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := d.Note(t.Context(), &example, published(i), uint64(i+1)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if ids := readNotes(t, d); len(ids) != 20 {
		t.Errorf("noted %q", ids)
	}
}
