package store

import (
	"hash/maphash"
	"strings"

	"ctxhub/server/hub"
)

// index knows where each entry lies and which ids there are, in about 40 bytes an entry. Only the committer
// changes it, under the log's lock; contents and ids stay on disk.
type index struct {
	base    uint64  // what is up to here was taken out of the archive
	offsets []int64 // of the line of sequence base+i+1, in its file
	seed    maphash.Seed
	byHash  map[uint64]uint64 // hash of an id → sequence; may be another id's, so compare
	byID    map[string]uint64 // the ids whose hash was taken, which nobody has seen yet
	byType  map[hub.Type]uint64
}

func newIndex() *index {
	return &index{
		seed:   maphash.MakeSeed(),
		byHash: make(map[uint64]uint64),
		byID:   make(map[string]uint64),
		byType: make(map[hub.Type]uint64),
	}
}

// add puts in the next sequence's entry.
func (x *index) add(offset int64, id string, t hub.Type) {
	x.offsets = append(x.offsets, offset)
	sequence := x.head()
	x.byType[t]++
	hash := x.hash(id)
	if _, taken := x.byHash[hash]; taken {
		x.byID[strings.Clone(id)] = sequence // the id may be a view of a read buffer
		return
	}
	x.byHash[hash] = sequence
}

// candidates returns the sequences that may have the id: at most two, 0 for none.
func (x *index) candidates(id string) [2]uint64 {
	return [2]uint64{x.byHash[x.hash(id)], x.byID[id]}
}

// head is the last sequence.
func (x *index) head() uint64 { return x.base + uint64(len(x.offsets)) }

// offset is where the line of a sequence begins in its file.
func (x *index) offset(sequence uint64) int64 { return x.offsets[sequence-x.base-1] }

func (x *index) hash(id string) uint64 { return maphash.String(x.seed, id) }
