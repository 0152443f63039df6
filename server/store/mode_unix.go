//go:build unix

package store

import (
	"fmt"
	"io/fs"
	"os"
)

// closeToOthers takes away every right of group and others, and says so if there was any.
func closeToOthers(name string, mode fs.FileMode) (note string, err error) {
	info, err := os.Lstat(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	if info.Mode().Perm()&^mode == 0 {
		return "", nil
	}
	if err := os.Chmod(name, mode); err != nil {
		return "", fmt.Errorf("%w: %s is open to others (%v): %w", ErrDataDir, name, info.Mode().Perm(), err)
	}
	return fmt.Sprintf("%s was open to others (%v) and is closed to them now (%v)", name, info.Mode().Perm(), mode), nil
}
