package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"
)

const (
	lockWait  = 10 * time.Second
	lockRetry = 2 * time.Millisecond
)

// lock makes this run the only one that works on the mirrors, until the returned function is called. The
// lock is the kernel's, so it ends with its process. It is never held while waiting for the network.
func (d *Dir) lock(ctx context.Context, wait time.Duration) (func(), error) {
	if err := os.MkdirAll(d.hubPath(""), 0o755); err != nil { //nolint:gosec // as readable as the rest of the project
		return nil, fmt.Errorf("lock the mirrors: %w", err)
	}
	// A link would let a repository that brings one point the mirrors, which are overwritten, at other files.
	path := d.hubPath(lockFile)
	for _, name := range []string{d.hubPath(""), path} {
		if info, err := os.Lstat(name); err == nil && info.Mode()&os.ModeSymlink != 0 {
			return nil, fmt.Errorf("%w: %s", ErrLink, name)
		}
	}
	file := flock.New(path, flock.SetPermissions(0o644))
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := file.TryLockContext(waiting, lockRetry)
	if err == nil {
		// Nothing to report: closing the file ends the lock in any case.
		return func() { _ = file.Close() }, nil
	}
	_ = file.Close()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("lock the mirrors: %w", ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: %s was not released in %s", ErrLocked, path, wait)
	}
	return nil, fmt.Errorf("lock the mirrors: %w", err)
}
