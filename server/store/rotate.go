package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"ctxhub/server/hub"
)

// Archive is a part of the log that was sealed.
type Archive struct {
	Name        string // in the data directory's archive
	First, Last uint64
}

// seal is one Rotate waiting for the committer.
type seal struct {
	archive Archive
	err     error
	done    chan struct{}
}

// Rotate moves the log so far into the archive and goes on with an empty file. What is in the archive is read as
// before. With nothing to seal it returns a zero Archive. hub.ErrPoisoned, hub.ErrUnavailable, hub.ErrClosed.
func (s *Store) Rotate(ctx context.Context) (Archive, error) {
	r := &seal{done: make(chan struct{})}
	select {
	case s.log.seals <- r:
		<-r.done
		return r.archive, r.err
	case <-s.log.closing:
		return Archive{}, hub.ErrClosed
	case <-ctx.Done():
		return Archive{}, ctx.Err()
	}
}

// seal does it in the committer, so that no commit is under way. Until both files have their names nothing is
// changed in memory; a kill in between leaves a log that undoRotation puts back.
func (l *log) seal(r *seal) {
	if t := l.trouble.Load(); t != nil && t.final {
		r.err = fmt.Errorf("%w: %w", hub.ErrPoisoned, withoutPath(t.err))
		return
	}
	old := l.active()
	if old.head == old.base {
		return
	}
	next := &segment{name: old.name, base: old.head, head: old.head}
	if r.err = l.prepareNext(next); r.err != nil {
		r.err = fmt.Errorf("%w: %w", hub.ErrUnavailable, withoutPath(r.err))
		return
	}
	name := archivedName(old.base+1, old.head)
	if r.err = l.swapActive(name); r.err != nil {
		r.err = errors.Join(r.err, next.file.Close())
		return
	}
	r.archive = Archive{Name: filepath.Base(name), First: old.base + 1, Last: old.head}
	l.mu.Lock()
	defer l.mu.Unlock()
	old.name = filepath.Join(l.dir, name)
	l.segments = append(l.segments, next)
}

// prepareNext makes the archive and the next file, which has nothing but its base line.
func (l *log) prepareNext(next *segment) (err error) {
	if err := l.files.Mkdir(filepath.Join(l.dir, archiveName)); err != nil {
		return err
	}
	line := baseLine(next.base, l.prior)
	next.from, next.size, next.crc = int64(len(line)), int64(len(line)), crc32.Checksum(line, castagnoli)
	if next.file, err = l.files.Open(next.name+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC); err != nil {
		return err
	}
	if _, err = next.file.WriteAt(line, 0); err == nil {
		err = next.file.Sync()
	}
	if err == nil {
		err = l.files.SyncDir(l.dir) // the archive's own name
	}
	if err == nil {
		return nil
	}
	_ = l.files.Remove(next.name + newSuffix) // on a full disk it would take the last room
	return errors.Join(err, next.file.Close())
}

// swapActive gives both files their names. If it fails on the way and the first cannot have its own back, or which
// names the disk holds is unknown, the log is poisoned: a restart looks.
func (l *log) swapActive(sealed string) error {
	active, archive := filepath.Join(l.dir, logName), filepath.Join(l.dir, archiveName)
	sealed = filepath.Join(l.dir, sealed)
	err := l.files.Rename(active, sealed)
	if err != nil {
		return fmt.Errorf("%w: %w", hub.ErrUnavailable, withoutPath(err))
	}
	if err = l.files.SyncDir(archive); err == nil {
		err = l.files.Rename(active+newSuffix, active)
	}
	if err != nil {
		undo := l.files.Rename(sealed, active)
		if undo == nil {
			return fmt.Errorf("%w: %w", hub.ErrUnavailable, withoutPath(err))
		}
		err = errors.Join(err, undo)
	} else if err = l.files.SyncDir(l.dir); err == nil {
		return nil
	}
	l.trouble.Store(&trouble{err, true})
	return fmt.Errorf("%w: %w", hub.ErrPoisoned, withoutPath(err))
}
