package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ctxhub/server/hub"
)

// LastEntry reads the sequence and the time of the last entry in the log, from its last whole line and without
// checking it; it works beside a running hub. An empty log, or none, has the sequence 0.
func LastEntry(dir string) (sequence uint64, at time.Time, err error) {
	f, err := os.Open(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, time.Time{}, err
	}
	line, err := lastLine(diskFile{f}, info.Size())
	if err != nil || line == nil {
		return 0, time.Time{}, err
	}
	var entry struct {
		Sequence  uint64
		Timestamp time.Time
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return 0, time.Time{}, fmt.Errorf("%w: the last line of %s: %w", hub.ErrDamaged, f.Name(), err)
	}
	return entry.Sequence, entry.Timestamp, nil
}

// lastLine returns the last line that has its end, or nil if there is none. It reads twice as much each time it has
// not found the line's beginning.
func lastLine(f file, size int64) ([]byte, error) {
	for length := int64(64 << 10); ; length *= 2 {
		from := max(size-length, 0)
		tail := make([]byte, size-from)
		if _, err := f.ReadAt(tail, from); err != nil {
			return nil, err
		}
		end := bytes.LastIndexByte(tail, '\n')
		begin := bytes.LastIndexByte(tail[:max(end, 0)], '\n') + 1
		switch {
		case end >= 0 && (begin > 0 || from == 0):
			return tail[begin:end], nil
		case from == 0:
			return nil, nil
		}
	}
}
