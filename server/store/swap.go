package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ctxhub/server/hub"
)

// A swap puts several files of a data directory in the place of others, as one change. The new ones are first made in
// a directory beside, the stage. Then swap.json is written: from that moment on the change is made, if not by this
// process then at the next start. What was there before is kept aside.
type swap struct {
	For   string   `json:"for"`   // a word: restore, repair, upgrade
	Stage string   `json:"stage"` // directory with the new files
	Aside string   `json:"aside"` // directory for the old ones
	Take  []string `json:"take"`  // files that come from the stage
	Drop  []string `json:"drop"`  // files that are only moved aside
}

const swapName = "swap.json"

// newSwap makes an empty stage.
func newSwap(d files, dir, word string) (*swap, error) {
	w := &swap{For: word, Stage: word + newSuffix, Aside: "before-" + word + "-" + time.Now().UTC().Format("20060102T150405.000Z")}
	stage := filepath.Join(dir, w.Stage)
	if err := os.RemoveAll(stage); err != nil { // what an earlier try left
		return nil, err
	}
	if err := d.Mkdir(stage); err != nil {
		return nil, err
	}
	return w, nil
}

// put makes a file of the stage. Nothing must be staged after commit.
func (w *swap) put(d files, dir, name string, content io.Reader) error {
	path := filepath.Join(dir, w.Stage, filepath.FromSlash(name))
	if err := d.Mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := d.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{&writerAt{f: f}}, content, make([]byte, copyBytes))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	w.Take = append(w.Take, name)
	return d.SyncDir(filepath.Dir(path))
}

// writerAt writes one piece behind the other.
type writerAt struct {
	f  file
	at int64
}

func (w *writerAt) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}

// abandon takes the stage away; what is left of it is harmless.
func (w *swap) abandon(dir string) { _ = os.RemoveAll(filepath.Join(dir, w.Stage)) }

// ErrUnfinished says that a change is decided but not complete: the next start completes it.
var ErrUnfinished = errors.New("interrupted on the way, and completed by the next start")

// commit makes the change. ErrUnfinished if it failed after the moment from which on it is made.
func (w *swap) commit(d files, dir string) error {
	// What is taken moves its forerunner aside by itself.
	w.Drop = slices.DeleteFunc(w.Drop, func(name string) bool { return slices.Contains(w.Take, name) })
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	if err := d.SyncDir(dir); err != nil { // the stage's own name
		return err
	}
	if err = writeWhole(d, filepath.Join(dir, swapName), append(text, '\n')); err == nil {
		_, err = finishSwap(d, dir)
	}
	if err != nil && exists(filepath.Join(dir, swapName)) {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	return err
}

// finishSwap makes the change that swap.json tells of, or what is left to do of it.
func finishSwap(d files, dir string) (notes []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, swapName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var w swap
	if err := json.Unmarshal(text, &w); err != nil || !w.local() {
		return nil, fmt.Errorf("%w: %s: not what was written there", hub.ErrDamaged, filepath.Join(dir, swapName))
	}
	for _, name := range w.Take {
		// While the new file is in the stage, the one in its place is the old one.
		if exists(filepath.Join(dir, w.Stage, name)) {
			err = errors.Join(w.aside(d, dir, name), d.Mkdir(filepath.Dir(filepath.Join(dir, name))))
			if err == nil {
				err = d.Rename(filepath.Join(dir, w.Stage, name), filepath.Join(dir, name))
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for _, name := range w.Drop {
		if err := w.aside(d, dir, name); err != nil {
			return nil, err
		}
	}
	return []string{"a " + w.For + " that was interrupted has been completed; the files from before are in " + w.Aside}, w.forget(d, dir)
}

// aside moves a file to where the old ones are kept, if it is there.
func (w *swap) aside(d files, dir, name string) error {
	from, to := filepath.Join(dir, name), filepath.Join(dir, w.Aside, name)
	if !exists(from) {
		return nil
	}
	if err := errors.Join(d.Mkdir(filepath.Join(dir, w.Aside)), d.Mkdir(filepath.Dir(to))); err != nil {
		return err
	}
	return d.Rename(from, to)
}

// forget makes the names durable, and then the change something of the past.
func (w *swap) forget(d files, dir string) error {
	for _, sub := range []string{w.Aside, filepath.Join(w.Aside, archiveName), archiveName, "."} {
		if name := filepath.Join(dir, sub); exists(name) {
			if err := d.SyncDir(name); err != nil {
				return err
			}
		}
	}
	if err := d.Remove(filepath.Join(dir, swapName)); err != nil {
		return err
	}
	w.abandon(dir)
	return d.SyncDir(dir)
}

// local says whether all names stay in the data directory.
func (w *swap) local() bool {
	for _, name := range append([]string{w.Stage, w.Aside}, append(w.Take, w.Drop...)...) {
		if name == "" || !filepath.IsLocal(filepath.FromSlash(name)) {
			return false
		}
	}
	return true
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
