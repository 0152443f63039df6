package store

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"ctxhub/server/hub"
)

// oldClientsName is the registry of ctx 0.8, with tokens in plain text.
const oldClientsName = "clients.json"

// isOld says whether a meta.json is of ctx 0.8.
func isOld(text []byte) bool {
	var m struct {
		Format  int              `json:"format"`
		Counter *json.RawMessage `json:"sequence_counter"`
	}
	return json.Unmarshal(text, &m) == nil && m.Format == 0 && m.Counter != nil
}

// isOldDir says whether ctx 0.8 wrote the directory.
func isOldDir(dir string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, metaName))
	if err == nil {
		return isOld(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if exists(filepath.Join(dir, oldClientsName)) {
		return true, nil
	}
	return beginsWith(filepath.Join(dir, logName), oldLineStart) // a copied log alone
}

const oldLineStart = `{"id":`

func beginsWith(name, start string) (bool, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text := make([]byte, len(start))
	_, err = io.ReadFull(f, text)
	return err == nil && string(text) == start, f.Close()
}

// upgrade makes a data directory of ctx 0.8 one of this format, in one step, and keeps all its files aside. The admin
// token and the clients' tokens go on working. What cannot be taken over as it is, is told.
func upgrade(d files, dir string) (notes []string, err error) {
	old, err := isOldDir(dir)
	if err != nil || !old {
		return nil, err
	}
	w, err := newSwap(d, dir, "upgrade")
	if err != nil {
		return nil, err
	}
	u := &upgrader{ids: make(map[string]sum)}
	if err := u.stage(d, dir, w); err != nil {
		w.abandon(dir)
		return nil, fmt.Errorf("upgrade %s: %w (nothing was changed)", dir, err)
	}
	if err := w.commit(d, dir); err != nil {
		return nil, fmt.Errorf("upgrade %s: %w", dir, err)
	}
	first := fmt.Sprintf("this data directory was of ctx 0.8 and has been upgraded: %d entries, %d projects; its own files are in %s, with tokens in plain text: remove them when all is well",
		u.head, u.projects, filepath.Join(dir, w.Aside))
	return append([]string{first}, u.notes...), nil
}

// upgrader rewrites the files of ctx 0.8.
type upgrader struct {
	notes    []string
	head     uint64
	prior    sum
	projects int
	ids      map[string]sum // of what makes two entries the same
}

func (u *upgrader) note(format string, args ...any) {
	u.notes = append(u.notes, fmt.Sprintf(format, args...))
}

func (u *upgrader) stage(d files, dir string, w *swap) error {
	log, err := os.Open(filepath.Join(dir, logName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		defer log.Close()
		reader, writer := io.Pipe()
		go func() { _ = writer.CloseWithError(u.entries(log, writer)) }() // documented never to fail
		if err := errors.Join(w.put(d, dir, logName, reader), reader.Close()); err != nil {
			return err
		}
	}
	projects, err := u.clients(filepath.Join(dir, oldClientsName))
	if err != nil {
		return err
	}
	if err := w.put(d, dir, projectsName, bytes.NewReader(projects)); err != nil {
		return err
	}
	text, err := newMeta().at(u.head, u.prior).encode()
	if err != nil {
		return err
	}
	w.Drop = []string{oldClientsName}
	return w.put(d, dir, metaName, bytes.NewReader(text))
}

// oldEntry is a line of the log of ctx 0.8.
type oldEntry struct {
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Content   string            `json:"content"`
	Origin    string            `json:"origin"`
	Timestamp string            `json:"timestamp"`
	Sequence  uint64            `json:"sequence"`
	Meta      map[string]string `json:"meta"`
}

// entries writes the log anew, in the order of its lines.
func (u *upgrader) entries(from io.Reader, to io.Writer) error {
	lines := bufio.NewReaderSize(from, 1<<20)
	out := bufio.NewWriterSize(to, 1<<20)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if err := u.entry(out, number, line); err != nil {
				return err
			}
		}
		if err != nil {
			return out.Flush()
		}
	}
}

// entry writes one entry, unless it is there already or cannot be one.
func (u *upgrader) entry(to io.Writer, number int, line []byte) error {
	var o oldEntry
	if err := json.Unmarshal(line, &o); err != nil {
		u.note("line %d of the old log is no entry and was left out: %v", number, err)
		return nil
	}
	e, why := o.convert(number)
	if why != "" {
		u.note("line %d of the old log was left out: %s", number, why)
		return nil
	}
	if o.Sequence != u.head+1 {
		u.note("line %d of the old log had the sequence %d, and has %d now", number, o.Sequence, u.head+1)
	}
	same := sha256.Sum256([]byte(string(e.Type) + "\x00" + e.Origin + "\x00" + e.Content))
	if first, twice := u.ids[e.ID]; twice {
		if first == same {
			u.note("line %d of the old log has the id and the content of an earlier one, %.80s, and was left out", number, e.ID)
			return nil
		}
		renamed := fmt.Sprintf("%.50s:%d", e.ID, number)
		u.note("line %d of the old log has the id of another entry, %.80s, and has %s now", number, e.ID, renamed)
		e.ID = renamed
	}
	u.ids[e.ID] = same
	u.head++
	p := prepare([]hub.Entry{e})
	text, sum := appendLine(nil, &p[0], u.head, group{u.head, u.head}, u.prior)
	u.prior = sum
	_, err := to.Write(text)
	return err
}

// convert makes an entry of a line, or says why there is none in it.
func (o *oldEntry) convert(number int) (e hub.Entry, why string) {
	e = hub.Entry{
		ID: o.ID, Type: hub.Type(o.Type), Content: o.Content, Origin: cmp.Or(o.Origin, "unknown"),
		Meta: hub.Meta{
			DisplayName: clean(o.Meta["display_name"]), Host: clean(o.Meta["host"]), Tool: clean(o.Meta["tool"]), Via: clean(o.Meta["via"]),
		},
	}
	when, err := time.Parse(time.RFC3339Nano, o.Timestamp)
	if err != nil {
		when = time.Unix(0, 0)
	}
	e.Timestamp = when.UTC()
	if !validOldID(e.ID) {
		e.ID = fmt.Sprintf("ctx-0.8:%d", number)
	}
	if err := e.Validate(); err != nil {
		return e, err.Error()
	}
	return e, ""
}

func validOldID(id string) bool {
	probe := hub.Entry{ID: id, Type: hub.Task, Content: "x"}
	return probe.Validate() == nil
}

// clean makes of a text what may be in a hub.Meta.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	for len(s) > hub.MaxMeta {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// clients makes projects.json of the old registry. Tokens are kept as hashes only.
func (u *upgrader) clients(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var old []struct {
		ID    string `json:"id"`
		Name  string `json:"project_name"`
		Token string `json:"token"`
	}
	if err == nil {
		if err := json.Unmarshal(text, &old); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", hub.ErrDamaged, name, err)
		}
	}
	all := make(map[string]hub.Project, len(old))
	for _, c := range old {
		if c.Token == "" {
			u.note("the old client %.80q has no token and was left out", c.Name)
			continue
		}
		name := freeName(c.Name, all)
		if name != c.Name {
			u.note("the old client %.80q is the project %q now", c.Name, name)
		}
		all[name] = hub.Project{ID: cmp.Or(c.ID, hub.NewHexID()), Name: name, Token: hub.HashToken(c.Token), Created: time.Now().UTC()}
	}
	u.projects = len(all)
	return encodeProjects(all)
}

// freeName is a good name for a project, as near as can be to the one it had: ctx 0.8 named each of them .context.
func freeName(old string, taken map[string]hub.Project) string {
	base := strings.TrimLeft(strings.TrimSpace(old), ".")
	if hub.ValidateName(base) != nil {
		base = "project"
	}
	name := base
	for n := 2; ; n++ {
		if _, isTaken := taken[name]; !isTaken {
			return name
		}
		name = fmt.Sprintf("%.58s-%d", base, n)
	}
}
