package project

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// noted is a note without its content, to be compared with what comes from the hub.
type noted struct {
	id, kind, project, addr, hub string
	sequence                     uint64
}

// of tells whether the note's sequence is one of this hub's. A note that does not say is of the hub at its address.
func (n *noted) of(hub string, conn *Connection) bool {
	return n.hub == hub || n.hub == "" && n.addr == conn.HubAddr
}

// noteIndex has the notes of a file that mostly grows at its end, and is read from there.
type noteIndex struct {
	file os.FileInfo
	size int64 // of the lines that were read
	list []noted
}

// read takes in what is new in the file. Under the lock only, so that no line is just being written.
func (x *noteIndex) read(d *Dir) error {
	path := d.hubPath(notesFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		*x = noteIndex{}
		return nil
	}
	if err != nil {
		return wrapNotes(err)
	}
	if x.file == nil || !os.SameFile(x.file, info) || info.Size() < x.size {
		*x = noteIndex{}
	}
	x.file = info
	if info.Size() == x.size {
		return nil
	}
	f, err := openNotes(path)
	if f == nil {
		return wrapNotes(err)
	}
	defer f.Close()
	if _, err := f.Seek(x.size, io.SeekStart); err != nil {
		return wrapNotes(err)
	}
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // a line without an end does not count
			return nil
		}
		if err != nil {
			return wrapNotes(err)
		}
		x.size += int64(len(line))
		if n := parseNote(line); n != nil {
			x.list = append(x.list, noted{n.ID, n.Type, n.Project, n.HubAddr, n.HubID, n.Sequence})
		}
	}
}

// unpassed are the notes with sequences behind a cursor that are not settled yet, whichever hub they are of.
func (m *mirrors) unpassed(after uint64) []noted {
	var list []noted
	for _, n := range m.noted.list {
		if n.sequence > after && n.project == m.conn.Project && !m.settled[n.id] {
			list = append(list, n)
		}
	}
	return list
}

// own are those of them that are of this hub.
func (m *mirrors) own(hub string, after uint64) []noted {
	return slices.DeleteFunc(m.unpassed(after), func(n noted) bool { return !n.of(hub, m.conn) })
}

// notedElsewhere tells whether something was published at this address to another hub.
func (m *mirrors) notedElsewhere(hub string) bool {
	for _, n := range m.noted.list {
		if n.addr == m.conn.HubAddr && !n.of(hub, m.conn) {
			return true
		}
	}
	return false
}

// top is the cursor of the mirror that is furthest. What was published up to there has been seen in the log, and
// the log up to there has a sum that tells when it is another one.
func (m *mirrors) top(st *State, list []standing) uint64 {
	at := make(map[string]uint64, len(m.kinds))
	for _, k := range m.kinds {
		at[k.name] = st.Mirrors[k.name].LastSequence
	}
	for _, s := range list { // a mirror that is to be built anew is at 0, whatever the state says
		at[s.kind.name] = s.mirror.LastSequence
	}
	var top uint64
	for _, cursor := range at {
		top = max(top, cursor)
	}
	return top
}

// unseen is the first own entry that should be in a batch, or behind it, and is not there; 0 if none. A hub may
// have been restored to a point that no mirror had passed yet, and have lost what was published since. Of a type
// that is not subscribed this cannot be told, and publishing it again is the way to find out.
func (m *mirrors) unseen(b *batch, st *State, list []standing) uint64 {
	first := b.missing
	due := m.own(b.hub, max(m.top(st, list), b.skipped))
	if len(due) == 0 {
		return first
	}
	there := make(map[string]uint64, len(b.entries))
	for _, e := range b.entries {
		there[e.GetId()] = e.GetSequence()
	}
	for _, n := range due {
		if n.sequence <= b.cursor && there[n.id] != n.sequence && (first == 0 || n.sequence < first) {
			first = n.sequence
		}
	}
	return first
}

// passed forgets that something was settled once the mirrors have passed it: if it is lost after that, it is to be
// missed again.
func (m *mirrors) passed(cursor uint64) {
	if len(m.settled) == 0 {
		return
	}
	for _, n := range m.noted.list {
		if n.sequence <= cursor {
			delete(m.settled, n.id)
		}
	}
}

// behind is the first own entry that is behind the head of a log that should have it; 0 if none.
func (b *batch) behind(head uint64) uint64 {
	var first uint64
	for _, n := range b.noted {
		if n.sequence > head && n.of(b.hub, b.conn) && (first == 0 || n.sequence < first) {
			first = n.sequence
		}
	}
	return first
}
