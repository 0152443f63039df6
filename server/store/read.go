package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"ctxhub/server/hub"
)

// Bounds of one Batch, so that a reader's memory and a message's size do not grow with the log.
const (
	batchEntries = 512
	batchBytes   = 256 << 10 // of the file; a longer line goes alone
)

// Batch is what a reader gets at a time.
type Batch struct {
	Entries []hub.Entry
	Cursor  uint64 // everything up to here that the reader asked for has been given
	// Sum and AfterSum are the sums, in hex, of the lines at Cursor and at the cursor that was read from; empty at 0.
	Sum, AfterSum string
}

// TypeSet is a filter.
type TypeSet uint8

// AllTypes lets everything through.
const AllTypes = ^TypeSet(0)

// NewTypeSet lets the named types through, or all if none is named. hub.ErrInvalid for an unknown one.
func NewTypeSet(names []string) (TypeSet, error) {
	if len(names) == 0 {
		return AllTypes, nil
	}
	var s TypeSet
	for _, name := range names {
		bit := bitOf(hub.Type(name))
		if bit == 0 {
			return 0, hub.Refuse(hub.ErrInvalid, "unknown type %.40q", name)
		}
		s |= bit
	}
	return s, nil
}

func (s TypeSet) has(t hub.Type) bool { return s == AllTypes || s&bitOf(t) != 0 }

func bitOf(t hub.Type) TypeSet {
	for i, known := range hub.Types {
		if t == known {
			return 1 << i
		}
	}
	return 0
}

// read returns entries behind the cursor after, up to and including until and never beyond the watermark. With
// nothing to give, the batch is empty and its cursor is after.
func (l *log) read(after, until uint64, types TypeSet) (Batch, error) {
	if b, ok := l.readRecent(after, until, types); ok {
		return b, nil
	}
	in, start, end, last := l.extent(after, until)
	if last == after {
		return l.nothing(after)
	}
	buf := make([]byte, end-start)
	if _, err := in.file.ReadAt(buf, start); err != nil && !errors.Is(err, io.EOF) {
		return Batch{}, fmt.Errorf("read %s at byte %d: %w", in.name, start, err)
	}
	b := Batch{Cursor: last}
	if types == AllTypes {
		b.Entries = make([]hub.Entry, 0, last-after)
	}
	var prior sum
	if after > 0 {
		b.AfterSum = string(buf[:priorText])
		if _, err := hex.Decode(prior[:], buf[:priorText]); err != nil {
			return Batch{}, in.damaged(after, start)
		}
		buf, start = buf[priorSize:], start+priorSize
	}
	for sequence := after + 1; sequence <= last; sequence++ {
		n := bytes.IndexByte(buf, '\n') + 1
		s, err := splitLine(buf[:max(n-1, 0)])
		if err != nil || s.sequence != sequence || !s.chained(prior) {
			return Batch{}, in.damaged(sequence, start)
		}
		prior = s.sum
		if types.has(typeOf(s.typ)) {
			e, err := s.entry()
			if err != nil {
				return Batch{}, in.damaged(sequence, start)
			}
			b.Entries = append(b.Entries, e)
		}
		buf, start = buf[n:], start+int64(n)
	}
	b.Sum = prior.String()
	return b, nil
}

// nothing is the batch of a reader that has everything up to its end.
func (l *log) nothing(after uint64) (Batch, error) {
	b := Batch{Cursor: after}
	if after == 0 {
		return b, nil
	}
	s, err := l.sumAt(after)
	b.Sum = s.String()
	b.AfterSum = b.Sum
	return b, err
}

// A line ends in its sum, so that the bytes before a line hold all that is needed to check it.
const (
	priorText = 2 * len(sum{})
	priorSize = int64(len(`"}`+"\n") + priorText)
)

// extent chooses what to read, in one segment: from the sum before the first line to the end of the last.
func (l *log) extent(after, until uint64) (in segment, start, end int64, last uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	until = min(until, l.index.head())
	if after >= until {
		return segment{}, 0, 0, after
	}
	s := l.segmentOf(after + 1)
	until = min(until, s.head)
	start = l.index.offset(after + 1)
	for last = after + 1; last < until && last-after < batchEntries && l.endOf(s, last+1)-start <= batchBytes; {
		last++
	}
	end = l.endOf(s, last)
	if after > 0 {
		start -= priorSize
	}
	return *s, start, end, last
}

// sumAt reads the sum of the line of a durable sequence, or of the one before the oldest.
func (l *log) sumAt(sequence uint64) (s sum, err error) {
	l.mu.RLock()
	in := *l.segmentOf(max(sequence, l.index.base+1))
	end := l.endOf(&in, sequence)
	l.mu.RUnlock()
	text := make([]byte, priorText)
	if _, err := in.file.ReadAt(text, end-priorSize); err != nil {
		return s, fmt.Errorf("read %s at byte %d: %w", in.name, end-priorSize, err)
	}
	_, err = hex.Decode(s[:], text)
	return s, err
}

func (s *segment) damaged(sequence uint64, offset int64) error {
	return fmt.Errorf("%s is %w at byte %d (sequence %d): it is not what was written there", filepath.Base(s.name), hub.ErrDamaged, offset, sequence)
}

// Bounds of the cache.
const (
	recentEntries = 1024
	recentBytes   = 4 << 20 // of content
)

// recent keeps the newest entries, since that is where live readers are. Entries in it are never changed.
type recent struct {
	entries []summed
	bytes   int
}

// summed is an entry and the sum of its line.
type summed struct {
	hub.Entry
	sum sum
}

func (r *recent) add(e hub.Entry, s sum) {
	r.entries = append(r.entries, summed{e, s})
	r.bytes += len(e.Content)
	drop := 0
	for len(r.entries)-drop > recentEntries || r.bytes > recentBytes && len(r.entries)-drop > 1 {
		r.bytes -= len(r.entries[drop].Content)
		r.entries[drop] = summed{} // for the collector: append moves the rest only now and then
		drop++
	}
	r.entries = r.entries[drop:]
}

// readRecent serves a read from the cache; false where it does not reach back to the entry at the cursor.
func (l *log) readRecent(after, until uint64, types TypeSet) (Batch, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	cached := l.recent.entries
	if len(cached) == 0 || after > cached[len(cached)-1].Sequence || after < cached[0].Sequence && (after != 0 || cached[0].Sequence != 1) {
		return Batch{}, false
	}
	b := Batch{Cursor: after}
	if after > 0 {
		b.AfterSum = cached[after-cached[0].Sequence].sum.String()
	}
	bytes := 0
	for i := after + 1 - cached[0].Sequence; i < uint64(len(cached)); i++ {
		e := &cached[i]
		bytes += len(e.Content)
		if e.Sequence > until || e.Sequence-after > batchEntries || bytes > batchBytes && b.Cursor > after {
			break
		}
		b.Cursor = e.Sequence
		if types.has(e.Type) {
			b.Entries = append(b.Entries, e.Entry)
		}
	}
	if b.Cursor > 0 {
		b.Sum = cached[b.Cursor-cached[0].Sequence].sum.String()
	}
	return b, true
}
