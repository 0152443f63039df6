package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Modes of what lies in a data directory: its owner's alone.
const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// files is the seam to the disk, so that a test can make any operation fail, or stop short, at any moment.
type files interface {
	Open(name string, flag int) (file, error) // made with fileMode
	Rename(from, to string) error
	Mkdir(name string) error // with dirMode; one that is there is good
	Remove(name string) error
	SyncDir(dir string) error
	Free(dir string) (uint64, error) // bytes
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error // the data, and as much of the metadata as reading it back needs
}

type disk struct{}

func (disk) Open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }

func (disk) Remove(name string) error { return os.Remove(name) }

func (disk) Mkdir(name string) error {
	if err := os.Mkdir(name, dirMode); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (disk) SyncDir(dir string) error { return syncDir(dir) }

func (disk) Free(dir string) (uint64, error) { return DiskFree(dir) }

type diskFile struct{ *os.File }

func (f diskFile) Sync() error { return syncData(f.File) }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// newSuffix marks a file that is not whole yet, or does not have its place yet.
const newSuffix = ".new"

// writeWhole replaces a file so that a reader, or a start after a crash, finds the old or the new one, never a
// part. It returns when the new one is on stable storage. Where that fails, what there was of it is removed: on a full
// disk it would take the last room.
func writeWhole(d files, name string, data []byte) (err error) {
	temporary := name + newSuffix
	f, err := d.Open(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.Remove(temporary) // the error is the one that brought us here
		}
	}()
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = d.Rename(temporary, name); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(name))
}
