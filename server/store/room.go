package store

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// errFull is what a full disk is called; the system's words for it stand behind.
var errFull = errors.New("the hub's disk is full")

// NoRoom tells whether an error is a disk that is full, or a quota that is used up.
func NoRoom(err error) bool {
	return slices.ContainsFunc(full[:], func(e error) bool { return errors.Is(err, e) })
}

// inWords says whose device has no space left: "on device" means nothing to a publisher elsewhere.
func inWords(err error) error {
	if NoRoom(err) && !errors.Is(err, errFull) {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

// lookEvery is how long the hub waits before it sees whether a disk that refused it has room again.
const lookEvery = time.Second

// look ends a trouble that is over. It writes as many bytes as were refused and takes them back at once: room that the disk only claims to have, or that
// a quota denies, does not count. A crash in between leaves zeros behind the log, which a start cuts off. After a
// failed sync there is nothing to see: only a restart finds out what the disk holds.
func (l *log) look() {
	if t := l.trouble.Load(); t == nil || t.final {
		return
	}
	if err := l.mayGrow(l.refused); err != nil {
		l.trouble.Store(&trouble{err, false})
		return
	}
	active := l.active()
	_, err := active.file.WriteAt(make([]byte, l.refused), active.size)
	undo := active.file.Truncate(active.size)
	switch {
	case undo != nil:
		l.trouble.Store(&trouble{errors.Join(err, undo), true})
	case err != nil:
		l.trouble.Store(&trouble{err, false})
	default:
		l.trouble.Store(nil)
	}
}
