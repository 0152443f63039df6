package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// disk is every step by which mirrors, state and connection are changed, so that a test can fail any of them.
type disk struct {
	open       func(name string, flag int, perm fs.FileMode) (*os.File, error)
	write      func(f *os.File, p []byte, at int64) (int, error)
	truncate   func(f *os.File, size int64) error
	sync       func(f *os.File) error
	rename     func(from, to string) error
	syncParent func(path string) error
}

var system = disk{
	open:       os.OpenFile,
	write:      (*os.File).WriteAt,
	truncate:   (*os.File).Truncate,
	sync:       (*os.File).Sync,
	rename:     rename,
	syncParent: syncParent,
}

// replace puts data at path in one step: a reader, and a run after a crash, finds the old content or the
// new. temp is a name in the same directory that no other process uses at this moment.
func (k disk) replace(path, temp string, data []byte, perm fs.FileMode) (err error) {
	// What a killed run left behind, or a link that somebody put there to be followed.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := k.open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	if err := k.fill(f, data); err != nil {
		return err
	}
	return k.rename(temp, path)
}

// fill writes data to an empty file, brings it to the disk and closes it.
func (k disk) fill(f *os.File, data []byte) error {
	_, err := k.write(f, data, 0)
	if err == nil {
		err = k.sync(f)
	}
	return errors.Join(err, f.Close())
}

// rename is os.Rename, with patience on Windows, where another program that has the target open for a
// moment (a status command, a virus scanner) makes it fail.
func rename(from, to string) error {
	err := os.Rename(from, to)
	for wait := time.Millisecond; err != nil && runtime.GOOS == "windows" && wait < time.Second; wait *= 2 {
		time.Sleep(wait)
		err = os.Rename(from, to)
	}
	return err
}

// syncParent brings the name of a file to the disk, for files that nothing can make again. Windows has no
// such call and keeps names in a journal.
func syncParent(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
