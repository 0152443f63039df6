package project

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

var errDisk = errors.New("the disk failed")

// failAt is a disk whose n-th operation, and every one after it, fails. A write that fails leaves half of
// what it should have written.
func failAt(n int) disk {
	count := 0
	fail := func(op, name string) error {
		if count++; count >= n {
			return fmt.Errorf("%s %s: %w", op, name, errDisk)
		}
		return nil
	}
	return disk{
		open: func(name string, flag int, perm fs.FileMode) (*os.File, error) {
			if err := fail("open", name); err != nil {
				return nil, err
			}
			return os.OpenFile(name, flag, perm)
		},
		write: func(f *os.File, p []byte, at int64) (int, error) {
			if err := fail("write", f.Name()); err != nil {
				half, _ := f.WriteAt(p[:len(p)/2], at)
				return half, err
			}
			return f.WriteAt(p, at)
		},
		truncate: func(f *os.File, size int64) error {
			if err := fail("truncate", f.Name()); err != nil {
				return err
			}
			return f.Truncate(size)
		},
		sync: func(f *os.File) error {
			if err := fail("sync", f.Name()); err != nil {
				return err
			}
			return f.Sync()
		},
		rename: func(from, to string) error {
			if err := fail("rename", to); err != nil {
				return err
			}
			return os.Rename(from, to)
		},
		syncParent: func(path string) error {
			if err := fail("sync the directory of", path); err != nil {
				return err
			}
			return syncParent(path)
		},
	}
}
