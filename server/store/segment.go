package store

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
)

// archiveName is the directory of the sealed parts of the log.
const archiveName = "archive"

// segment is a part of the log in a file of its own. All but the last are sealed, in archive/; the last is
// entries.jsonl, which grows.
type segment struct {
	name string
	file file
	base uint64 // sequence of the entry before its first
	head uint64 // sequence of its last entry
	from int64  // where its first line begins: behind the base line, if it has one
	size int64  // where its last line ends
	crc  uint32 // of all its bytes up to there
}

// castagnoli is CRC-32C, which processors compute as fast as they read. It tells whether bytes are still those that
// this process has checked by their chain, or has written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A segment that follows another one begins with a base line, so that it can be read and checked alone:
//
//	{"base":1200,"sum":"…"}
//
// It has the sequence and the sum of the entry before. It ends as every line does, so that the bytes before any line
// hold the sum which that line builds on.
const baseStart = `{"base":`

func baseLine(base uint64, s sum) []byte {
	line := strconv.AppendUint([]byte(baseStart), base, 10)
	line = hex.AppendEncode(append(line, `,"sum":"`...), s[:])
	return append(line, '"', '}', '\n')
}

// splitBaseLine takes a base line apart, without its newline.
func splitBaseLine(line []byte) (base uint64, s sum, ok bool) {
	p := parser{line: line}
	p.literal(baseStart)
	base = p.number()
	p.literal(`,"sum":"`)
	p.sum(&s)
	p.literal(`"}`)
	return base, s, !p.bad && p.at == len(line) && base > 0
}

// maxBaseLine is as long as a base line can be.
var maxBaseLine = int64(len(baseLine(1<<63, sum{})))

// readBase returns the base of a segment, which is 0 for one without a base line.
func readBase(f file) (uint64, error) {
	start := make([]byte, maxBaseLine)
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	line, _, _ := bytes.Cut(start[:n], []byte("\n"))
	base, _, _ := splitBaseLine(line)
	return base, nil
}

// archived is a file of the archive, by its name.
type archived struct {
	name        string // in the data directory
	first, last uint64
}

func archivedName(first, last uint64) string {
	return filepath.Join(archiveName, fmt.Sprintf("entries-%012d-%012d.jsonl", first, last))
}

// parseArchived takes such a name apart, with slashes.
func parseArchived(name string) (first, last uint64, ok bool) {
	_, err := fmt.Sscanf(name, archiveName+"/entries-%d-%d.jsonl", &first, &last)
	return first, last, err == nil && 0 < first && first <= last && filepath.ToSlash(archivedName(first, last)) == name
}

// listArchive returns what the archive holds, by sequence. Files of other names are not looked at.
func listArchive(dir string) ([]archived, error) {
	names, err := os.ReadDir(filepath.Join(dir, archiveName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []archived
	for _, n := range names {
		if first, last, ok := parseArchived(archiveName + "/" + n.Name()); ok {
			all = append(all, archived{archivedName(first, last), first, last})
		}
	}
	slices.SortFunc(all, func(a, b archived) int { return cmp.Compare(a.first, b.first) })
	return all, nil
}

// leadingTo chooses the files that lead without a gap to the entry before a segment, by their names. The others are
// of no use until what lies in between is put back.
func leadingTo(base uint64, all []archived) (chosen, unused []archived) {
	for _, a := range slices.Backward(all) {
		if a.last != base {
			unused = append(unused, a)
			continue
		}
		chosen, base = append(chosen, a), a.first-1
	}
	slices.Reverse(chosen)
	slices.Reverse(unused)
	return chosen, unused
}

// undoRotation puts back a log that was being sealed when its process was killed: it had been moved to the archive,
// and nothing yet into its place.
func undoRotation(d files, dir string, all []archived) ([]archived, error) {
	name := filepath.Join(dir, logName)
	_, err := os.Lstat(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return all, err
	}
	if len(all) == 0 {
		return nil, nil // a new hub's
	}
	newest := all[len(all)-1]
	err = errors.Join(d.Rename(filepath.Join(dir, newest.name), name), d.SyncDir(dir), d.SyncDir(filepath.Join(dir, archiveName)))
	return all[:len(all)-1], err
}

// segmentOf is the segment that holds a sequence, which must be one that is there.
func (l *log) segmentOf(sequence uint64) *segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].head >= sequence })
	return l.segments[min(i, len(l.segments)-1)]
}

// endOf is where the line of a sequence ends in its segment.
func (l *log) endOf(s *segment, sequence uint64) int64 {
	switch sequence {
	case s.head:
		return s.size
	case s.base:
		return s.from
	}
	return l.index.offset(sequence + 1)
}

func (l *log) active() *segment { return l.segments[len(l.segments)-1] }
