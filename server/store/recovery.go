package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"ctxhub/server/hub"
)

// claim is what meta.json says was durable: the log may hold more, never less.
type claim struct {
	head uint64
	sum  sum // of the line at head
}

// scan reads a log from its start and stops behind the last group that is whole and unchanged.
type scan struct {
	index *index
	size  int64 // bytes of whole groups
	prior sum   // of the last line of them

	group   group // the commit that the lines since size belong to
	pending []placed
	claimed sum   // of the line at the claimed head, if it was reached
	stopped int64 // where the first line begins that is not as written; the size if there is none
}

// placed is a line whose group is not complete yet.
type placed struct {
	offset int64
	id     string
	typ    hub.Type
	sum    sum
}

// recover brings the log to its last whole commit. What a crash left of the commit under way, at the end and
// shorter than one, is cut off and kept beside the log; anything else that is wrong is refused, untouched.
func (l *log) recover(known claim) (report string, err error) {
	size, err := l.file.Size()
	if err != nil {
		return "", err
	}
	s := &scan{index: newIndex()}
	if err := s.run(l.file, size, known.head); err != nil {
		return "", err
	}
	if s.index.head() < known.head {
		return "", l.shorterThanClaimed(s, known, size)
	}
	if known.head > 0 && s.claimed != known.sum {
		return "", fmt.Errorf("%w: %s is not the log that meta.json beside it was written for: entry %d differs; put back the two files that belong together",
			hub.ErrDamaged, l.name, known.head)
	}
	if s.size < size {
		if report, err = l.cutTail(s, size); NoRoom(err) {
			// It stays where it is, and nothing is written over it. Readers need not wait until there is room.
			l.trouble.Store(&trouble{err, true})
		} else if err != nil {
			return "", err
		}
	}
	l.index, l.size, l.prior = s.index, s.size, s.prior
	// A killed hub's last commits may be in the page cache only, and will be acknowledged when asked for again.
	return report, l.file.Sync()
}

// run scans up to the first line that is not as written; an error is one of the disk.
func (s *scan) run(r io.ReaderAt, size int64, claimedHead uint64) error {
	lines := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<20)
	at, prior := int64(0), sum{}
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil // a last line without its newline is not whole
		}
		if err != nil {
			return fmt.Errorf("read the log at byte %d: %w", at, err)
		}
		sp, err := splitLine(line[:len(line)-1])
		if err != nil || !s.follows(&sp) || !sp.chained(prior) {
			return nil //nolint:nilerr // s.stopped tells where the damage begins
		}
		s.add(&sp, at, int64(len(line)))
		at, prior = at+int64(len(line)), sp.sum
		s.stopped = at
		if sp.sequence == claimedHead {
			s.claimed = sp.sum
		}
	}
}

// readLine returns a line with its newline; it is valid until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	long := bytes.Clone(line)
	rest, err := r.ReadBytes('\n')
	return append(long, rest...), err
}

// follows says whether the line is the next of its group, or begins the next one.
func (s *scan) follows(sp *span) bool {
	next := s.index.head() + uint64(len(s.pending)) + 1
	if len(s.pending) > 0 {
		return sp.sequence == next && sp.commit == s.group
	}
	return sp.sequence == next && sp.commit.first == next
}

func (s *scan) add(sp *span, offset, length int64) {
	if sp.commit.first == sp.commit.last {
		id, _ := unescape(sp.id) // ids have nothing to escape
		s.index.add(offset, id, typeOf(sp.typ))
		s.size, s.prior = offset+length, sp.sum
		return
	}
	s.group = sp.commit
	s.pending = append(s.pending, placed{offset, string(sp.id), typeOf(bytes.Clone(sp.typ)), sp.sum})
	if sp.sequence < sp.commit.last {
		return
	}
	for _, p := range s.pending {
		s.index.add(p.offset, p.id, p.typ)
	}
	s.pending = s.pending[:0]
	s.size, s.prior = offset+length, sp.sum
}

// cutTail decides whether what is behind the last whole group can be a commit that a crash cut short, and if
// so, moves it to a file of its own.
func (l *log) cutTail(s *scan, size int64) (string, error) {
	if size-s.size > maxGroupBytes {
		return "", l.refuse(s, "what follows is longer than any one write")
	}
	tail := make([]byte, size-s.size)
	if _, err := l.file.ReadAt(tail, s.size); err != nil {
		return "", fmt.Errorf("read %s at byte %d: %w", l.name, s.size, err)
	}
	if !beginsLikeALine(tail) {
		return "", l.refuse(s, "it does not begin like a line either")
	}
	if later, ok := laterCommit(tail, s.index.head()+1); ok {
		return "", l.refuse(s, fmt.Sprintf("entry %d behind it was committed later", later))
	}
	kept := fmt.Sprintf("%s.torn-%s", l.name, time.Now().UTC().Format("20060102T150405.000Z"))
	if err := writeWhole(l.files, kept, tail); err != nil {
		return "", fmt.Errorf("keep the torn end of the log: %w", err)
	}
	if err := l.file.Truncate(s.size); err != nil {
		return "", fmt.Errorf("cut the torn end of the log: %w", err)
	}
	return fmt.Sprintf("the last write was not whole, as after a crash in the middle of it: %d bytes behind entry %d moved from %s to %s",
		len(tail), s.index.head(), l.name, kept), nil
}

// beginsLikeALine says whether text can be the start of a line of which not everything reached the disk: what is
// missing of a write reads as zeros.
func beginsLikeALine(text []byte) bool {
	for i, c := range text[:min(len(text), len(lineStart))] {
		if c != 0 && c != lineStart[i] {
			return false
		}
	}
	return true
}

// laterCommit looks for proof that the damaged commit, whose first sequence is first, had been synced: a line of
// a commit that began after it. Commits are written one at a time, so such a line cannot be there otherwise.
// Lines are found by how they begin, which no content can hold (its quotes are escaped): the damage may have hit
// a newline.
func laterCommit(tail []byte, first uint64) (uint64, bool) {
	for len(tail) > 0 {
		line, _, _ := bytes.Cut(tail, []byte("\n"))
		if sp, err := splitLine(line); err == nil && sp.commit.first > first {
			return sp.sequence, true
		}
		next := bytes.Index(tail[1:], []byte(lineStart))
		if next < 0 {
			break
		}
		tail = tail[1+next:]
	}
	return 0, false
}

func (l *log) shorterThanClaimed(s *scan, known claim, size int64) error {
	if s.size < size {
		return l.refuse(s, fmt.Sprintf("entries up to %d were acknowledged", known.head))
	}
	return fmt.Errorf("%w: %s ends at entry %d, but meta.json beside it says that entry %d was acknowledged; put back the %s that belongs to it (to go on with fewer entries on purpose, move meta.json away: the hub then is a new one to its clients)",
		hub.ErrDamaged, l.name, s.index.head(), known.head, logName)
}

// refuse names the first line that is not as written.
func (l *log) refuse(s *scan, why string) error {
	return fmt.Errorf("%w: %s, line %d, byte %d is not what was written there, and %s; put back the file from a copy (nothing was changed)",
		hub.ErrDamaged, l.name, s.index.head()+uint64(len(s.pending))+1, s.stopped, why)
}
