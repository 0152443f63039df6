package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrHasEntries says that a data directory is not empty.
var ErrHasEntries = errors.New("the data directory has entries")

// Restored says what a Restore did.
type Restored struct {
	Manifest
	Aside string // directory in the data directory with what was there before; empty if nothing was
}

// Restore makes a data directory what it was when a backup was taken. The backup is checked whole before anything of
// what is there is touched; that is then kept aside. The admin token stays, since no backup holds one. ErrHasEntries
// unless replace is set, ErrInUse, hub.ErrDamaged, ErrNewerFormat; ErrUnfinished if the next start has to complete it.
func Restore(dir string, backup io.Reader, replace bool) (Restored, error) {
	return restore(disk{}, dir, backup, replace)
}

func restore(d files, dir string, backup io.Reader, replace bool) (done Restored, err error) {
	if _, err := prepareDir(dir); err != nil {
		return done, err
	}
	// A directory that is made here stays also when this fails: another process may be about to use it.
	lock, err := lockDir(dir)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if _, err := finishSwap(d, dir); err != nil {
		return done, err
	}
	if err := mayReplace(dir, replace); err != nil {
		return done, err
	}
	w, err := newSwap(d, dir, "restore")
	if err != nil {
		return done, err
	}
	done.Manifest, err = ReadBackup(backup, func(name string, content io.Reader) error { return w.put(d, dir, name, content) })
	if err != nil {
		w.abandon(dir)
		return done, err
	}
	if w.Drop, err = ofTheLog(dir); err != nil {
		w.abandon(dir)
		return done, err
	}
	if err := w.commit(d, dir); err != nil {
		return done, err
	}
	if exists(filepath.Join(dir, w.Aside)) {
		done.Aside = w.Aside
	}
	return done, nil
}

// mayReplace refuses a directory that has entries, unless that is meant.
func mayReplace(dir string, replace bool) error {
	all, err := listArchive(dir)
	if err != nil || replace {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, logName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(all) > 0 || err == nil && info.Size() > 0 {
		return fmt.Errorf("%w: %s", ErrHasEntries, dir)
	}
	return nil
}

// ofTheLog are the files of a data directory that a backup takes the place of.
func ofTheLog(dir string) ([]string, error) {
	all, err := listArchive(dir)
	names := []string{logName, metaName, projectsName, oldClientsName}
	for _, a := range all {
		names = append(names, filepath.ToSlash(a.name))
	}
	return names, err
}

// SaveBackup writes a backup to a file, which is there whole or not at all, and checks it on the way. from writes it.
// fs.ErrExist if the file is there and replace is not set.
func SaveBackup(name string, replace bool, from func(io.Writer) error) (Manifest, error) {
	return saveBackup(disk{}, name, replace, from)
}

func saveBackup(d files, name string, replace bool, from func(io.Writer) error) (m Manifest, err error) {
	if exists(name) && !replace {
		return m, fmt.Errorf("write the backup: %s: %w", name, fs.ErrExist)
	}
	// A name of its own: another backup may be under way to the same file, and a file of this name be somebody's.
	temporary := name + newSuffix + "-" + strings.ToLower(rand.Text())
	f, err := d.Open(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_TRUNC)
	if err != nil {
		return m, fmt.Errorf("write the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary) // half a backup is none
		}
	}()
	if m, err = CopyBackup(&writerAt{f: f}, from); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return m, err
	}
	if exists(name) && !replace {
		return m, fmt.Errorf("write the backup: %s: %w", name, fs.ErrExist)
	}
	if err = d.Rename(temporary, name); err != nil {
		return m, fmt.Errorf("write the backup: %w", err)
	}
	return m, d.SyncDir(filepath.Dir(name))
}

// CopyBackup writes a backup and checks it at once. What was written is of no use if it fails.
func CopyBackup(to io.Writer, from func(io.Writer) error) (Manifest, error) {
	type checked struct {
		manifest Manifest
		err      error
	}
	reader, writer := io.Pipe()
	done := make(chan checked, 1)
	go func() {
		m, err := checkCopy(reader)
		if err == nil {
			_, err = io.Copy(io.Discard, reader) // padding
		}
		_ = reader.CloseWithError(err) // documented never to fail; the writer hears of it
		done <- checked{m, err}
	}()
	err := from(io.MultiWriter(to, writer))
	_ = writer.CloseWithError(err) // documented never to fail
	check := <-done
	if err == nil { // else what was checked is only a part
		err = check.err
	}
	return check.manifest, err
}
