package project

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// note is an entry that this project published, as a line of .context/hub/.published.jsonl. It has all that it
// takes to publish the entry again, should the hub lose it.
type note struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Content  string    `json:"content"`
	Meta     noteMeta  `json:"meta"`
	Project  string    `json:"project"`
	HubAddr  string    `json:"hub_addr"`
	HubID    string    `json:"hub_id"`
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
}

type noteMeta struct {
	DisplayName string `json:"display_name,omitempty"`
	Host        string `json:"host,omitempty"`
	Tool        string `json:"tool,omitempty"`
	Via         string `json:"via,omitempty"`
}

// entry is what to publish again: the same id, so that it is the same entry.
func (n *note) entry() *hubv1.NewEntry {
	m := n.Meta
	return &hubv1.NewEntry{
		Id: n.ID, Type: n.Type, Content: n.Content,
		Meta: &hubv1.Meta{DisplayName: m.DisplayName, Host: m.Host, Tool: m.Tool, Via: m.Via},
	}
}

func (n *note) line() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(n)
	return b.Bytes(), err
}

// Note writes down an entry that the hub has acknowledged with a sequence, and returns when that is on the disk.
// An interrupt does not end it: the entry is published, whoever waits for it.
func (d *Dir) Note(ctx context.Context, conn *Connection, entry *hubv1.NewEntry, sequence uint64) error {
	meta := entry.GetMeta()
	n := note{
		ID: entry.GetId(), Type: entry.GetType(), Content: entry.GetContent(),
		Meta:    noteMeta{meta.GetDisplayName(), meta.GetHost(), meta.GetTool(), meta.GetVia()},
		Project: conn.Project, HubAddr: conn.HubAddr, HubID: conn.HubID, Sequence: sequence, Time: time.Now().UTC(),
	}
	line, err := n.line()
	if err == nil {
		err = d.appendNote(context.WithoutCancel(ctx), string(line))
	}
	if err != nil {
		return fmt.Errorf("note what was published: %w", err)
	}
	return nil
}

func (d *Dir) appendNote(ctx context.Context, line string) error {
	unlock, err := d.lock(ctx, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	path := d.hubPath(notesFile)
	end, err := endOfLines(path)
	if err != nil {
		return err
	}
	// What a killed publish left behind its last line is cut off, and its entry was not told to anybody.
	if err := d.disk.extend(path, end, line); err != nil || end > 0 {
		return err
	}
	// Nothing can make the file again, so that its name must last, and so must its directory's.
	return errors.Join(d.disk.syncParent(path), d.disk.syncParent(d.hubPath("")))
}

// endOfLines is where the last whole line of a file ends; 0 if there is no file.
func endOfLines(path string) (int64, error) {
	f, err := openNotes(path)
	if f == nil {
		return 0, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	buf := make([]byte, 64<<10)
	for err == nil && end > 0 {
		begin := max(end-int64(len(buf)), 0)
		piece := buf[:end-begin]
		if _, err = f.ReadAt(piece, begin); err == nil {
			if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
				return begin + int64(i) + 1, nil
			}
			end = begin
		}
	}
	return 0, err
}

// openNotes opens the notes for reading; nil if there are none. A link could lead to a file that is not ours.
func openNotes(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there are none
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: nothing is noted in it", path)
	}
	return os.Open(path)
}

// noteLine is a line of the file. One that cannot be read is kept as it is.
type noteLine struct {
	raw  []byte
	note *note
}

// noteLines reads all notes. Without the lock a line may just be being written: it does not count yet.
func (d *Dir) noteLines() ([]noteLine, error) {
	f, err := openNotes(d.hubPath(notesFile))
	if f == nil {
		return nil, wrapNotes(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, wrapNotes(err)
	}
	var lines []noteLine
	for raw := range bytes.Lines(data) {
		if raw[len(raw)-1] == '\n' {
			lines = append(lines, noteLine{raw, parseNote(raw)})
		}
	}
	return lines, nil
}

func parseNote(raw []byte) *note {
	n := &note{}
	if err := json.Unmarshal(raw, n); err != nil || n.ID == "" {
		return nil
	}
	return n
}

func wrapNotes(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read what was published: %w", err)
}

// putNotes writes the notes anew, each line as it was unless change returns another note in its place. Under the
// lock only.
func (d *Dir) putNotes(change func(*note) *note) error {
	lines, err := d.noteLines()
	if err != nil {
		return err
	}
	var all []byte
	changed := false
	for _, l := range lines {
		if l.note != nil {
			if n := change(l.note); n != nil {
				if l.raw, err = n.line(); err != nil {
					return wrapNotes(err)
				}
				changed = true
			}
		}
		all = append(all, l.raw...)
	}
	if !changed {
		return nil
	}
	path := d.hubPath(notesFile)
	err = d.disk.replace(path, path+".tmp", all, 0o644)
	if err == nil {
		err = d.disk.syncParent(path)
	}
	if err != nil {
		return fmt.Errorf("note what was published again: %w", err)
	}
	return nil
}
