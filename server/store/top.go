package store

import (
	"bytes"
	"errors"
	"io"
)

// begin reads the base line of a segment and returns where its first line begins. One that is not as written is left
// to be found as damage. The first segment has nothing before it to compare with; if it is also alone, nothing but
// what stands in it tells where the log begins.
func (in *inspector) begin(first, alone bool) (from int64, err error) {
	t, err := readTop(in.file)
	if err != nil {
		return 0, err
	}
	known := t.base == in.next-1 && (first || t.sum == in.prior)
	if t.good && (known || first && (t.second == t.base+1 || !t.follows)) {
		in.next, in.prior, in.line = t.base+1, t.sum, 2
		return t.length, nil
	}
	if alone && t.likeBase && t.second > 0 {
		in.next = t.second
	}
	return 0, nil
}

// top is how a segment begins.
type top struct {
	good     bool // it has a base line
	base     uint64
	sum      sum
	length   int64  // of the base line
	isFirst  bool   // it has no base line, but the log's first entry
	likeBase bool   // what stands there is more like a base line than like an entry's
	second   uint64 // sequence of the second line; 0 if that is none
	follows  bool   // and it builds on the base line's sum
}

func readTop(f file) (t top, err error) {
	text := make([]byte, 4<<20) // room for a base line and most lines
	n, err := f.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return t, err
	}
	line, rest, whole := bytes.Cut(text[:n], []byte("\n"))
	t.base, t.sum, t.good = splitBaseLine(line)
	t.good = t.good && whole
	t.length = int64(len(line)) + 1
	if sp, err := splitLine(line); err == nil {
		t.isFirst = sp.sequence == 1
	}
	t.likeBase = likeness(line, baseStart) > max(likeness(line, lineStart), len(baseStart)/2)
	line, _, _ = bytes.Cut(rest, []byte("\n"))
	if sp, err := splitLine(line); err == nil {
		t.second, t.follows = sp.sequence, sp.chained(t.sum)
	}
	return t, nil
}

// likeness is how many of the first bytes are those of a known start: damage is mostly small.
func likeness(line []byte, start string) (same int) {
	for i := range min(len(line), len(baseStart)) { // the shorter of both
		if line[i] == start[i] {
			same++
		}
	}
	return same
}
