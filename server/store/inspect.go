package store

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
)

// An inspector reads a segment to its end, whatever is wrong in it, and tells apart what is as it was written and what
// is not. It finds its way again behind damage by the chain: a line that follows on from the sum that stands before
// it was written there.
type inspector struct {
	file file
	size int64

	next  uint64 // sequence of the next line
	prior sum    // that it builds on
	line  uint64 // number of the next line in the file
	end   claim  // what is known of the file's end from elsewhere; zero for nothing

	good func(sp *span, offset, length int64) error // the span is valid until it returns
	bad  func(region) error
}

// region is a part of a segment that is not what was written there.
type region struct {
	offset, length int64
	commit         int64   // where the commit begins that it is in
	line           uint64  // number of its first line
	next           uint64  // sequence that its first line should have
	lost           uint64  // entries in it that cannot be read any more; of a region without an end, the least
	tail           bool    // no line behind it can be read
	saved          *parsed // an entry in it that is whole: only its sum, or its newline, is not
}

// parsed is a span with the line that it points into.
type parsed struct {
	span
	text []byte
}

// run begins behind the base line, if there is one, which the caller has read.
func (in *inspector) run(from int64) error {
	for at := from; at < in.size; {
		end, err := in.walk(at)
		if err != nil || end == in.size {
			return err
		}
		if at, err = in.skip(end); err != nil {
			return err
		}
	}
	return nil
}

// walk reads good lines, and returns where the first line begins that is not.
func (in *inspector) walk(at int64) (int64, error) {
	lines := bufio.NewReaderSize(io.NewSectionReader(in.file, at, in.size-at), 1<<20)
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
		sp, err := splitLine(line[:len(line)-1])
		if err != nil || sp.sequence != in.next || !sp.chained(in.prior) {
			return at, nil //nolint:nilerr // the caller looks at what stands there
		}
		if err := in.accept(&sp, at, int64(len(line))); err != nil {
			return at, err
		}
		at += int64(len(line))
	}
}

func (in *inspector) accept(sp *span, at, length int64) error {
	in.next, in.prior, in.line = sp.sequence+1, sp.sum, in.line+1
	return in.good(sp, at, length)
}

// skip finds the next line behind damage that was written where it stands, tells of the region in between, and
// returns where that line begins. It looks at a little first, since damage is mostly small.
func (in *inspector) skip(at int64) (int64, error) {
	for window := int64(1 << 20); ; window *= 4 {
		text := make([]byte, min(window, in.size-at))
		if _, err := in.file.ReadAt(text, at); err != nil {
			return 0, err
		}
		r := region{offset: at, line: in.line, next: in.next}
		if sp, prior, from := in.find(text); from > 0 {
			r.length, r.lost = int64(from), sp.sequence-in.next
			if r.saved = in.save(text[:from], prior); r.saved != nil {
				r.lost--
			}
			err := in.bad(r)
			in.line += uint64(bytes.Count(text[:from], []byte("\n"))) //nolint:gosec // a count
			in.next, in.prior = sp.sequence, prior
			return at + int64(from), err
		}
		if at+int64(len(text)) == in.size {
			in.toTheEnd(&r, text)
			return in.size, in.bad(r)
		}
	}
}

// toTheEnd is a region behind which no line can be read. What is known of the end takes the place of one.
func (in *inspector) toTheEnd(r *region, text []byte) {
	r.length, r.tail = int64(len(text)), true
	if in.end.head < in.next {
		r.lost = uint64(bytes.Count(text, []byte(lineStart))) //nolint:gosec // a count
		return
	}
	r.lost = in.end.head - in.next + 1
	if r.saved = in.save(text, in.end.sum); r.saved != nil {
		r.lost--
	}
	in.next, in.prior = in.end.head+1, in.end.sum
}

// find looks for the first line that anchor accepts; it begins behind the text's first byte.
func (in *inspector) find(text []byte) (sp span, prior sum, from int) {
	for {
		n := bytes.Index(text[from+1:], []byte(lineStart))
		if n < 0 {
			return sp, prior, 0
		}
		from += 1 + n
		var ok bool
		if sp, prior, ok = in.anchor(text, from); ok {
			return sp, prior, from
		}
	}
}

// anchor says whether the line that begins at from was written behind what stands before it, and on which sum it
// builds.
func (in *inspector) anchor(text []byte, from int) (sp span, prior sum, ok bool) {
	line, _, whole := bytes.Cut(text[from:], []byte("\n"))
	sp, err := splitLine(line)
	if !whole || err != nil || sp.sequence < in.next {
		return sp, prior, false
	}
	if from >= int(priorSize) {
		if _, err := hex.Decode(prior[:], text[from-int(priorSize):from-int(priorSize)+priorText]); err == nil && sp.chained(prior) {
			return sp, prior, true
		}
	}
	// The sum before it may be the damage.
	if body, _, err := splitBody(text[:from]); err == nil && body.sequence == in.next {
		prior = body.sumBehind(in.prior)
		return sp, prior, sp.chained(prior)
	}
	return sp, in.prior, sp.sequence == in.next && sp.chained(in.prior) // something was put in between
}

// save returns the entry of a region's only line, if all that is wrong is its sum or its newline.
func (in *inspector) save(text []byte, following sum) *parsed {
	body, _, err := splitBody(text)
	if err != nil || body.sequence != in.next || body.sumBehind(in.prior) != following {
		return nil
	}
	return &parsed{body, text}
}
