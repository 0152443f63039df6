package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
)

// examination is a data directory that is read whole, whatever is wrong in it.
type examination struct {
	dir      string
	running  bool // a hub has it open, so that its last commit may be under way
	report   Report
	progress func(done, total int64)
	done     int64 // bytes read
	total    int64

	meta        meta
	known       claim
	claimed     bool     // the line at the claimed head is what meta.json says
	brokenFiles []string // small files that cannot be used

	segments []*segment
	regions  [][]region // of each segment: what is not as written
	starts   []sum      // of each segment: the sum that its first line builds on
	ends     []sum      // of each segment: the sum of its last line
	counts   []uint64   // of each segment: entries that can be read
	last     sum        // of the last good line
	ids      idSet

	open *openCommit // the commit that is read now, as long as it is not complete
}

// openCommit is a commit of which not all lines were read yet.
type openCommit struct {
	group
	offset int64
	prior  sum
}

func examine(dir string, running bool, progress func(done, total int64)) (x *examination, err error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	x = &examination{dir: dir, running: running, progress: progress, ids: newIDSet()}
	x.report.Problems, x.report.Notes = []Problem{}, []string{}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.close())
		}
	}()
	if err := x.smallFiles(); err != nil {
		return x, err
	}
	if err := x.openSegments(); err != nil {
		return x, err
	}
	x.regions = make([][]region, len(x.segments))
	for i, s := range x.segments {
		if err := x.inspect(i, s); err != nil {
			return x, fmt.Errorf("read %s: %w", s.name, err)
		}
	}
	x.compareClaim()
	return x, nil
}

func (x *examination) close() error {
	var errs []error
	for _, s := range x.segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// openSegments opens the log's files as a start would.
func (x *examination) openSegments() error {
	all, err := listArchive(x.dir)
	if err != nil {
		return err
	}
	active := logName
	if !exists(filepath.Join(x.dir, active)) {
		if len(all) == 0 {
			return fmt.Errorf("%w: there is no %s in %s", ErrDataDir, logName, x.dir)
		}
		active, all = all[len(all)-1].name, all[:len(all)-1]
		x.note("a rotation was interrupted: the next start puts %s back", logName)
	}
	last, err := x.openFile(active)
	if err != nil {
		return err
	}
	top, err := readTop(last.file)
	if err != nil {
		return err
	}
	chosen, unused := leadingTo(top.base, all)
	if len(chosen) == 0 && !top.isFirst && len(all) > 0 { // its base line may be what is damaged
		chosen, unused = leadingTo(all[len(all)-1].last, all)
	}
	for _, a := range chosen {
		s, err := x.openFile(a.name)
		if err != nil {
			return err
		}
		s.base = a.first - 1
	}
	x.segments = append(x.segments[1:], last)
	for _, a := range unused {
		x.note("%s is not read, since what followed it is not in the archive", a.name)
	}
	return nil
}

func (x *examination) openFile(name string) (*segment, error) {
	f, err := disk{}.Open(filepath.Join(x.dir, name), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	s := &segment{name: name, file: f}
	x.segments = append(x.segments, s)
	s.size, err = f.Size()
	x.total += s.size
	return s, err
}

func (x *examination) inspect(i int, s *segment) error {
	in := &inspector{file: s.file, size: s.size, line: 1, next: max(x.report.Head, s.base) + 1, prior: x.last}
	in.good, in.bad = x.good, func(r region) error {
		x.bad(i, r)
		return nil
	}
	var err error
	if in.end, err = x.endOf(i); err != nil {
		return err
	}
	if s.from, err = in.begin(i == 0, len(x.segments) == 1); err != nil {
		return err
	}
	s.base, x.open = in.next-1, nil
	before := x.report.Entries
	x.starts = append(x.starts, in.prior)
	if i == 0 {
		x.report.Oldest, x.report.Head = in.next, in.next-1
	}
	x.report.Files++
	x.report.Bytes += s.size
	if err := in.run(s.from); err != nil {
		return err
	}
	x.report.Head, x.last = in.next-1, in.prior
	if x.open != nil {
		x.cutOpen(i, in)
	}
	s.head = x.report.Head
	for _, r := range x.regions[i] {
		x.judge(i, r)
	}
	x.ends, x.counts = append(x.ends, x.last), append(x.counts, x.report.Entries-before)
	return nil
}

// endOf is what is known of a segment's end: from the base line of the next one, or from meta.json.
func (x *examination) endOf(i int) (claim, error) {
	if i == len(x.segments)-1 {
		return x.known, nil
	}
	text := make([]byte, maxBaseLine)
	n, err := x.segments[i+1].file.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return claim{}, err
	}
	line, _, _ := bytes.Cut(text[:n], []byte("\n"))
	base, sum, _ := splitBaseLine(line)
	return claim{base, sum}, nil
}

// bad notes a region. It takes the commit that it is in with it, which is whole no longer.
func (x *examination) bad(i int, r region) {
	r.commit = r.offset
	if x.open != nil {
		r.commit = x.open.offset
	}
	if !r.tail {
		x.open = nil
	}
	x.regions[i] = append(x.regions[i], r)
}

// cutOpen takes the lines of a commit that is not complete, at the log's end, for a part of the write that did not
// end.
func (x *examination) cutOpen(i int, in *inspector) {
	lines := x.report.Head + 1 - x.open.first
	r := region{offset: x.open.offset, commit: x.open.offset, length: in.size - x.open.offset, line: in.line - lines, next: x.open.first, lost: lines, tail: true}
	if i < len(x.segments)-1 || !x.torn(i, r) {
		return
	}
	if last := len(x.regions[i]) - 1; last >= 0 && x.regions[i][last].tail {
		x.regions[i] = x.regions[i][:last]
	}
	x.regions[i] = append(x.regions[i], r)
	x.report.Head, x.last = x.open.first-1, x.open.prior
	x.report.Entries -= lines
}

func (x *examination) good(sp *span, offset, length int64) error {
	if !x.ids.add(sp.id) {
		x.problem(Problem{File: logName, Sequence: sp.sequence, What: fmt.Sprintf("entry %d has the id of an earlier one: %.80q", sp.sequence, sp.id)})
	}
	if sp.sequence == x.known.head {
		x.claimed = sp.sum == x.known.sum
	}
	if x.open != nil && x.open.group != sp.commit {
		x.bad(len(x.starts)-1, region{offset: offset, next: sp.sequence})
	}
	switch sp.sequence {
	case sp.commit.last:
		x.open = nil
	case sp.commit.first:
		x.open = &openCommit{sp.commit, offset, x.last}
	}
	x.report.Head, x.last = sp.sequence, sp.sum
	x.report.Entries++
	x.done += length
	if x.done>>20 != (x.done-length)>>20 {
		x.progress(x.done, x.total)
	}
	return nil
}

// judge tells of a region: a write that did not end is no damage.
func (x *examination) judge(i int, r region) {
	name := filepath.ToSlash(x.segments[i].name)
	if r.tail && i == len(x.segments)-1 && x.torn(i, r) {
		if x.running {
			x.note("the hub is writing at the end of %s, which was not looked at", name)
		} else {
			x.note("the last write to %s did not end: its %d bytes are moved aside by the next start", name, r.length)
		}
		return
	}
	p := Problem{File: name, Line: r.line, Offset: r.offset, Bytes: r.length, Sequence: r.next, Lost: r.lost}
	switch {
	case r.saved != nil:
		x.report.Entries++
		p.What = fmt.Sprintf("the end of the line is not what was written; entry %d itself is whole", r.next)
	case r.tail:
		p.What = fmt.Sprintf("nothing from here to the end of the file is what was written (%d bytes)", r.length)
	case r.length == 0:
		p.What = fmt.Sprintf("the commit before entry %d is not whole; no entry is lost", r.next)
	case r.lost == 0:
		p.What = fmt.Sprintf("%d bytes stand here that were not written by a hub; no entry is lost", r.length)
	case r.lost == 1:
		p.What = fmt.Sprintf("%d bytes are not what was written: entry %d cannot be read", r.length, r.next)
	default:
		p.What = fmt.Sprintf("%d bytes are not what was written: entries %d to %d cannot be read", r.length, r.next, r.next+r.lost-1)
	}
	x.problem(p)
}

// torn says whether the region at the log's end can be a commit that was cut short, by the rules of a start.
func (x *examination) torn(i int, r region) bool {
	if r.next <= x.known.head || i > 0 && r.offset == 0 { // a base line is on the disk before its file has its name
		return false
	}
	_, why, err := tornTail(x.segments[i].file, r.offset, r.offset+r.length, r.next)
	return err == nil && why == ""
}

func (x *examination) compareClaim() {
	head := x.report.Head
	switch {
	case x.known.head > head && len(x.report.Problems) == 0:
		x.problem(Problem{File: metaName, Sequence: head + 1, Lost: x.known.head - head,
			What: fmt.Sprintf("entries up to %d were acknowledged, and the log ends at %d: it is not the log that belongs here, or a part of it is missing", x.known.head, head)})
	case x.known.head >= x.report.Oldest && x.known.head <= head && !x.claimed && len(x.report.Problems) == 0:
		x.problem(Problem{File: metaName, Sequence: x.known.head,
			What: fmt.Sprintf("it was not written for this log: entry %d differs", x.known.head)})
	}
}

// idSet tells an id that was seen before; 128 bits of hash stand for each.
type idSet struct {
	seeds [2]maphash.Seed
	seen  map[[2]uint64]struct{}
}

func newIDSet() idSet {
	return idSet{[2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, make(map[[2]uint64]struct{})}
}

func (s *idSet) add(id []byte) (fresh bool) {
	key := [2]uint64{maphash.Bytes(s.seeds[0], id), maphash.Bytes(s.seeds[1], id)}
	_, twice := s.seen[key]
	s.seen[key] = struct{}{}
	return !twice
}
