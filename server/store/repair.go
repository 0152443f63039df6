package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ctxhub/server/hub"
)

// Repaired is what Repair did.
type Repaired struct {
	Report        // what was found
	Kept   uint64 // entries that the log has now
	Aside  string // directory in the data directory with all that was there before; empty if nothing was changed
}

// Repair makes a data directory one that opens again, with everything in it that can still be read. What is damaged
// is left out, and all files from before are kept aside. Entries behind damage in the log are numbered anew, so that
// the log has no gaps; clients notice by the sums that it has another past, and build their mirrors anew. Without
// problems it changes nothing. ErrInUse, ErrDataDir, ErrNewerFormat, ErrOlderFormat.
func Repair(dir string, progress func(done, total int64)) (*Repaired, error) {
	return repair(disk{}, dir, progress)
}

func repair(d files, dir string, progress func(done, total int64)) (done *Repaired, err error) {
	// Before the lock, which would leave its file in a directory that is not a hub's.
	if !exists(filepath.Join(dir, logName)) && !exists(filepath.Join(dir, archiveName)) && !exists(filepath.Join(dir, swapName)) {
		return nil, fmt.Errorf("%w: there is no %s in %s", ErrDataDir, logName, dir)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if _, err := finishSwap(d, dir); err != nil {
		return nil, err
	}
	all, err := listArchive(dir)
	if err != nil {
		return nil, err
	}
	if _, err := undoRotation(d, dir, all); err != nil {
		return nil, err
	}
	x, err := examine(dir, false, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	done = &Repaired{Report: x.report, Kept: x.report.Entries}
	if len(x.report.Problems) == 0 {
		return done, nil
	}
	w, err := newSwap(d, dir, "repair")
	if err != nil {
		return nil, err
	}
	r := &rewriter{d: d, x: x, swap: w}
	if err := r.stage(); err != nil {
		w.abandon(dir)
		return nil, err
	}
	if err := w.commit(d, dir); err != nil {
		return nil, err
	}
	done.Aside = w.Aside
	return done, nil
}

// rewriter stages the files of a repaired data directory.
type rewriter struct {
	d    files
	x    *examination
	swap *swap

	head  uint64 // of what was written so far
	prior sum
}

func (r *rewriter) stage() error {
	anew := false // from the first damage on
	for i, s := range r.x.segments {
		anew = anew || len(r.x.regions[i]) > 0
		if !anew {
			r.head, r.prior = s.head, r.x.ends[i]
			continue
		}
		if err := r.segment(i, s); err != nil {
			return fmt.Errorf("rewrite %s: %w", s.name, err)
		}
	}
	r.swap.Drop = append(r.swap.Drop, r.x.brokenFiles...)
	text, err := r.x.meta.at(r.head, r.prior).encode()
	if err != nil {
		return err
	}
	return r.swap.put(r.d, r.x.dir, metaName, strings.NewReader(string(text)))
}

// segment stages what can be read of one, and keeps apart what cannot.
func (r *rewriter) segment(i int, s *segment) error {
	for _, region := range r.x.regions[i] {
		if err := r.keep(s, region); err != nil {
			return err
		}
	}
	name := filepath.ToSlash(s.name)
	if entries := r.x.counts[i]; i < len(r.x.segments)-1 {
		r.swap.Drop = append(r.swap.Drop, name)
		if entries == 0 {
			return nil
		}
		name = filepath.ToSlash(archivedName(r.base(i)+1, r.base(i)+entries))
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(r.write(writer, i, s)) }() // documented never to fail
	err := r.swap.put(r.d, r.x.dir, name, reader)
	return errors.Join(err, reader.Close())
}

// base is the sequence before a segment's first entry.
func (r *rewriter) base(i int) uint64 {
	if i == 0 {
		return r.x.segments[0].base
	}
	return r.head
}

// write copies a segment up to its first region, and writes the entries behind that anew.
func (r *rewriter) write(to io.Writer, i int, s *segment) error {
	regions := r.x.regions[i]
	first, last := int64(0), s.size // without a region, it is what it builds on that is another
	if n := len(regions); n > 0 {
		first = regions[0].commit
		if regions[n-1].tail {
			last = regions[n-1].offset
		}
	}
	r.head = r.base(i)
	if i > 0 && (r.head != s.base || r.prior != r.x.starts[i]) {
		first = 0 // what it builds on was written anew, so that none of its bytes can stay
	}
	if first == 0 && r.head > 0 {
		if _, err := to.Write(baseLine(r.head, r.prior)); err != nil {
			return err
		}
	}
	if _, err := io.Copy(to, io.NewSectionReader(s.file, 0, first)); err != nil {
		return err
	}
	in := &inspector{file: s.file, size: s.size, good: func(sp *span, offset, _ int64) error {
		if offset < first {
			r.head, r.prior = sp.sequence, sp.sum
			return nil
		}
		if offset >= last {
			return nil
		}
		return r.entry(to, sp)
	}}
	in.bad = func(bad region) error {
		if bad.saved == nil {
			return nil
		}
		return r.entry(to, &bad.saved.span)
	}
	in.next, in.prior, in.end = s.base+1, r.x.starts[i], r.x.known
	if i < len(r.x.segments)-1 {
		in.end = claim{r.x.segments[i+1].base, r.x.starts[i+1]}
	}
	return in.run(s.from)
}

// entry writes an entry at the next place in the log.
func (r *rewriter) entry(to io.Writer, sp *span) error {
	e, err := sp.entry()
	if err != nil {
		return err
	}
	r.head++
	p := prepare([]hub.Entry{e})
	line, sum := appendLine(nil, &p[0], r.head, group{r.head, r.head}, r.prior)
	r.prior = sum
	_, err = to.Write(line)
	return err
}

// keep copies a region to the directory of what was there before.
func (r *rewriter) keep(s *segment, bad region) error {
	dir := filepath.Join(r.x.dir, r.swap.Aside)
	if err := r.d.Mkdir(dir); err != nil {
		return err
	}
	f, err := r.d.Open(filepath.Join(dir, fmt.Sprintf("damaged-byte-%d-of-%s", bad.offset, filepath.Base(s.name))), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.Copy(onlyWriter{&writerAt{f: f}}, io.NewSectionReader(s.file, bad.offset, bad.length))
	return errors.Join(err, f.Sync(), f.Close())
}
