package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ctxhub/server/hub"
)

// claim is what meta.json says was durable: the log may hold more, never less.
type claim struct {
	head uint64
	sum  sum // of the line at head
}

// scan reads the files of a log, one after the other, each up to the last group that is whole and unchanged.
type scan struct {
	index *index // told of each entry; may be nil
	head  uint64 // sequence of the last line of whole groups
	prior sum    // of that line

	claimedHead uint64
	claimed     sum // of the line at the claimed head, if it was reached

	// Of the file that is read now.
	base    uint64 // sequence of the entry before its first
	from    int64  // where its first line begins
	size    int64  // bytes of whole groups
	crc     uint32 // of these bytes
	read    uint32 // the same of all bytes up to stopped
	stopped int64  // where the first line begins that is not as written; the size if there is none

	group   group // the commit that the lines since size belong to
	pending []placed
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
func (l *log) recover(known claim) (notes []string, err error) {
	unused, err := l.openSegments()
	if err != nil {
		return nil, err
	}
	for _, a := range unused {
		notes = append(notes, fmt.Sprintf("%s is not read, since what followed it is not in the archive: put that back, and restart", a.name))
	}
	s := &scan{index: newIndex(), claimedHead: known.head, head: l.segments[0].base}
	s.index.base = s.head
	for _, seg := range l.segments {
		report, err := l.recoverSegment(s, seg, known)
		if err != nil {
			return nil, err
		}
		if report != "" {
			notes = append(notes, report)
		}
	}
	if err := l.keepsClaim(s, known); err != nil {
		return nil, err
	}
	l.index, l.prior = s.index, s.prior
	// A killed hub's last commits may be in the page cache only, and will be acknowledged when asked for again.
	return notes, l.active().file.Sync()
}

func (l *log) recoverSegment(s *scan, seg *segment, known claim) (report string, err error) {
	size, err := seg.file.Size()
	if err != nil {
		return "", err
	}
	if err := s.file(io.NewSectionReader(seg.file, 0, size)); err != nil {
		return "", fmt.Errorf("read %s: %w", seg.name, err)
	}
	seg.base, seg.from, seg.size, seg.head, seg.crc = s.base, s.from, s.size, s.head, s.crc
	switch {
	case s.size == size:
		return "", nil
	case seg != l.active():
		return "", seg.refuse(s, "it was sealed when it was whole")
	case s.head < known.head:
		return "", seg.refuse(s, fmt.Sprintf("entries up to %d were acknowledged", known.head))
	}
	report, err = l.cutTail(s, size)
	if NoRoom(err) {
		// It stays where it is, and nothing is written over it. Readers need not wait until there is room.
		l.trouble.Store(&trouble{err, true})
		return "", nil
	}
	return report, err
}

// openSegments opens the log and the files of the archive that lead to it.
func (l *log) openSegments() (unused []archived, err error) {
	all, err := listArchive(l.dir)
	if err != nil {
		return nil, err
	}
	if all, err = undoRotation(l.files, l.dir, all); err != nil {
		return nil, err
	}
	active := &segment{name: filepath.Join(l.dir, logName)}
	if active.file, err = l.files.Open(active.name, os.O_RDWR|os.O_CREATE); err != nil {
		return nil, err
	}
	l.segments = []*segment{active}
	if active.base, err = readBase(active.file); err != nil {
		return nil, err
	}
	chosen, unused := leadingTo(active.base, all)
	for i, a := range chosen {
		s := &segment{name: filepath.Join(l.dir, a.name), base: a.first - 1}
		if s.file, err = l.files.Open(s.name, os.O_RDONLY); err != nil {
			return nil, err
		}
		l.segments = slices.Insert(l.segments, i, s)
	}
	return unused, nil
}

// keepsClaim refuses a log that is not the one meta.json was written for, or ends before it.
func (l *log) keepsClaim(s *scan, known claim) error {
	switch {
	case s.head < known.head:
		return fmt.Errorf("%w: %s ends at entry %d, but meta.json beside it says that entry %d was acknowledged; put back the %s that belongs to it, or go on with fewer entries: ctx hub repair --dry-run",
			hub.ErrDamaged, l.active().name, s.head, known.head, logName)
	case known.head > l.segments[0].base && s.claimed != known.sum:
		return fmt.Errorf("%w: %s is not the log that meta.json beside it was written for: entry %d differs; put back the two files that belong together",
			hub.ErrDamaged, l.active().name, known.head)
	}
	return nil
}

// file scans up to the first line that is not as written; an error is one of the disk.
func (s *scan) file(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 1<<20)
	s.crc, s.read = 0, 0
	s.base, s.from, s.size, s.stopped, s.pending = s.head, 0, 0, 0, s.pending[:0]
	at, prior := int64(0), s.prior
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil // a last line without its newline is not whole
		}
		if err != nil {
			return fmt.Errorf("at byte %d: %w", at, err)
		}
		if at == 0 && s.begin(line) {
			at, prior = s.from, s.prior
			continue
		}
		sp, err := splitLine(line[:len(line)-1])
		if err != nil || !s.follows(&sp) || !sp.chained(prior) {
			return nil //nolint:nilerr // s.stopped tells where the damage begins
		}
		s.read = crc32.Update(s.read, castagnoli, line)
		s.add(&sp, at, int64(len(line)))
		at, prior = at+int64(len(line)), sp.sum
		s.stopped = at
		if sp.sequence == s.claimedHead {
			s.claimed = sp.sum
		}
	}
}

// begin takes a base line. The first file's says where the log begins, later ones must follow on.
func (s *scan) begin(line []byte) bool {
	base, sum, ok := splitBaseLine(line[:len(line)-1])
	if !ok || base != s.base || s.prior != noSum && sum != s.prior {
		return false
	}
	s.prior, s.from, s.size, s.stopped = sum, int64(len(line)), int64(len(line)), int64(len(line))
	s.read = crc32.Update(0, castagnoli, line)
	s.crc = s.read
	if base == s.claimedHead {
		s.claimed = sum
	}
	return true
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
	next := s.head + uint64(len(s.pending)) + 1
	if len(s.pending) > 0 {
		return sp.sequence == next && sp.commit == s.group
	}
	return sp.sequence == next && sp.commit.first == next
}

func (s *scan) add(sp *span, offset, length int64) {
	if sp.commit.first == sp.commit.last {
		id, _ := unescape(sp.id) // a view of the line: ids have nothing to escape
		s.take(placed{offset, id, typeOf(sp.typ), sp.sum}, length)
		return
	}
	s.group = sp.commit
	s.pending = append(s.pending, placed{offset, string(sp.id), typeOf(bytes.Clone(sp.typ)), sp.sum})
	if sp.sequence < sp.commit.last {
		return
	}
	for _, p := range s.pending {
		s.take(p, length) // of the last one: only where the group ends counts
	}
	s.pending = s.pending[:0]
}

func (s *scan) take(p placed, length int64) {
	if s.index != nil {
		s.index.add(p.offset, p.id, p.typ)
	}
	s.head, s.prior, s.size, s.crc = s.head+1, p.sum, p.offset+length, s.read
}

// cutTail decides whether what is behind the last whole group can be a commit that a crash cut short, and if
// so, moves it to a file of its own.
func (l *log) cutTail(s *scan, size int64) (string, error) {
	active := l.active()
	tail, why, err := tornTail(active.file, s.size, size, s.head+1)
	if err != nil {
		return "", fmt.Errorf("read %s at byte %d: %w", active.name, s.size, err)
	}
	if why != "" {
		return "", active.refuse(s, why)
	}
	kept := fmt.Sprintf("%s.torn-%s", active.name, time.Now().UTC().Format("20060102T150405.000Z"))
	if err := writeWhole(l.files, kept, tail); err != nil {
		return "", fmt.Errorf("keep the torn end of the log: %w", err)
	}
	if err := active.file.Truncate(s.size); err != nil {
		return "", fmt.Errorf("cut the torn end of the log: %w", err)
	}
	return fmt.Sprintf("the last write was not whole, as after a crash in the middle of it: %d bytes behind entry %d moved from %s to %s",
		len(tail), s.head, active.name, kept), nil
}

// tornTail reads what is behind the last whole group, in which next was to be the first sequence, and says why it
// cannot be a commit that a crash cut short; nothing if it can.
func tornTail(f io.ReaderAt, from, size int64, next uint64) (tail []byte, why string, err error) {
	if size-from > maxGroupBytes {
		return nil, "what follows is longer than any one write", nil
	}
	tail = make([]byte, size-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return nil, "", err
	}
	if !beginsLikeALine(tail) {
		why = "it does not begin like a line either"
	} else if later, ok := laterCommit(tail, next); ok {
		why = fmt.Sprintf("entry %d behind it was committed later", later)
	}
	return tail, why, nil
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

// refuse names the first line that is not as written.
func (s *segment) refuse(found *scan, why string) error {
	line := found.head - found.base + uint64(len(found.pending)) + 1
	if found.from > 0 {
		line++ // for the base line
	}
	return fmt.Errorf("%w: %s, line %d, byte %d is not what was written there, and %s; put back the file from a copy, or see what can be kept: ctx hub repair --dry-run (nothing was changed)",
		hub.ErrDamaged, s.name, line, found.stopped, why)
}
