package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ctxhub/server/hub"
)

// Report is what Verify found in a data directory.
type Report struct {
	HubID    string    `json:"hub_id"`
	Oldest   uint64    `json:"oldest"`  // sequence of the oldest entry
	Head     uint64    `json:"head"`    // sequence of the last entry
	Entries  uint64    `json:"entries"` // that can be read
	Bytes    int64     `json:"bytes"`   // of the log
	Files    int       `json:"files"`   // of the log
	Projects int       `json:"projects"`
	Problems []Problem `json:"problems"`
	Notes    []string  `json:"notes"` // what is no damage
}

// Problem is something in a data directory that is not as it was written.
type Problem struct {
	File     string `json:"file"`               // in the data directory
	Line     uint64 `json:"line,omitempty"`     // its number; 0 where it is about the whole file
	Offset   int64  `json:"offset"`             // where it begins, in bytes
	Bytes    int64  `json:"bytes,omitempty"`    // how much is not as written
	Sequence uint64 `json:"sequence,omitempty"` // of the entry that should begin there
	Lost     uint64 `json:"lost"`               // entries that cannot be read any more; at least so many at a file's end
	What     string `json:"what"`
}

func (p *Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.What
	}
	return fmt.Sprintf("%s, line %d, byte %d: %s", p.File, p.Line, p.Offset, p.What)
}

// Verify reads a whole data directory and says what in it is not as it was written. It changes nothing, and works
// beside a running hub. progress, if set, is told how many bytes of the log were read, of how many. Its errors are the
// disk's; ErrDataDir where there is no log; ErrNewerFormat and ErrOlderFormat.
func Verify(dir string, progress func(done, total int64)) (*Report, error) {
	running, err := InUse(dir)
	if err != nil {
		return nil, err
	}
	for looks := 1; ; looks++ {
		x, err := examine(dir, running, progress)
		if err == nil {
			err = x.close()
		}
		// A hub that rotates or writes while its files are opened looks as if something were wrong. What is, stays so.
		if running && looks < 3 && (err != nil || len(x.report.Problems) > 0) {
			continue
		}
		return &x.report, err
	}
}

// smallFiles reads everything but the log.
func (x *examination) smallFiles() error {
	if exists(filepath.Join(x.dir, swapName)) {
		x.note("a restore, repair or upgrade was interrupted: the next start completes it")
	}
	if err := x.readMeta(); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(x.dir, projectsName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		all, err := parseProjects(text)
		if err != nil {
			x.broken(projectsName, err)
		}
		x.report.Projects = len(all)
	}
	if _, err := ReadAdminToken(x.dir); errors.Is(err, hub.ErrDamaged) {
		x.broken(tokenName, errors.New("no token is in it"))
	}
	return nil
}

func (x *examination) readMeta() error {
	text, err := os.ReadFile(filepath.Join(x.dir, metaName))
	if errors.Is(err, fs.ErrNotExist) {
		x.note("there is no %s: the next start makes this a new hub to its clients", metaName)
		x.meta = newMeta()
		return nil
	}
	if err != nil {
		return err
	}
	x.meta, x.known, err = parseMeta(text)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return err
	case isOld(text):
		return fmt.Errorf("%w: the first start of this version upgrades it", ErrOlderFormat)
	case err != nil:
		x.broken(metaName, err)
		x.meta = newMeta()
		return nil
	}
	x.report.HubID = x.meta.HubID
	return nil
}

// broken is a small file that cannot be used.
func (x *examination) broken(name string, err error) {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	x.brokenFiles = append(x.brokenFiles, name)
	x.problem(Problem{File: name, What: fmt.Sprintf("it is not what was written: %v", err)})
}

func (x *examination) problem(p Problem) { x.report.Problems = append(x.report.Problems, p) }

func (x *examination) note(format string, args ...any) {
	x.report.Notes = append(x.report.Notes, fmt.Sprintf(format, args...))
}
