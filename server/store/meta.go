package store

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ctxhub/server/hub"
)

// format is the version of the data directory's files. docs/format.md tells what it means.
const format = 1

// meta is meta.json: which hub this is, and how far its log was durable when it was last looked at.
type meta struct {
	Format    int       `json:"format"`
	HubID     string    `json:"hub_id"`
	CreatedAt time.Time `json:"created_at"`
	Head      uint64    `json:"head"`
	Sum       string    `json:"sum,omitempty"` // of the line at Head
}

// Reasons why a data directory is not opened.
var (
	ErrNewerFormat = errors.New("data directory of a newer ctx")
	ErrOlderFormat = errors.New("data directory of an older ctx")
)

// readMeta returns the stored meta, or a new hub's where there is none.
func readMeta(dir string) (meta, claim, error) {
	name := filepath.Join(dir, metaName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return meta{Format: format, HubID: hub.NewHexID(), CreatedAt: time.Now().UTC()}, claim{}, nil
	}
	if err != nil {
		return meta{}, claim{}, err
	}
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return meta{}, claim{}, fmt.Errorf("%w: %s: %w", hub.ErrDamaged, name, err)
	}
	switch {
	case m.Format > format:
		return meta{}, claim{}, fmt.Errorf("%w: %s has format %d, this program reads up to %d", ErrNewerFormat, dir, m.Format, format)
	case m.Format < format:
		return meta{}, claim{}, fmt.Errorf("%w: %s was written by ctx 0.8 or earlier, which this version does not read", ErrOlderFormat, dir)
	}
	known := claim{head: m.Head}
	if n, err := hex.Decode(known.sum[:], []byte(m.Sum)); m.Head > 0 && (err != nil || n != len(known.sum)) || m.HubID == "" {
		return meta{}, claim{}, fmt.Errorf("%w: %s: its sum or hub_id is not as written", hub.ErrDamaged, name)
	}
	return m, known, nil
}

// writeMeta records how far the log is durable. Falling behind is harmless, so it is written now and then.
func (s *Store) writeMeta() error {
	head, _ := s.log.mark.now()
	s.metaMu.Lock()
	defer s.metaMu.Unlock()
	if s.metaWritten && head == s.meta.Head {
		return nil
	}
	m := s.meta
	if head > 0 {
		last, err := s.log.sumAt(head)
		if err != nil {
			return err
		}
		m.Head, m.Sum = head, last.String()
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeWhole(s.files, filepath.Join(s.dir, metaName), append(data, '\n')); err != nil {
		return err
	}
	s.meta, s.metaWritten = m, true
	return nil
}

// startMeta writes meta.json at the start. On a full disk the one that is there will do until there is room: it says
// less than the log holds, which is harmless, and readers are served. A new hub's identity, though, must be on the disk
// before anyone is told of it.
func (s *Store) startMeta() error {
	err := s.writeMeta()
	if !NoRoom(err) {
		return err
	}
	if _, missing := os.Stat(filepath.Join(s.dir, metaName)); missing != nil {
		return err
	}
	s.metaErr.Store(&err)
	return nil
}

// keepMeta writes meta.json every few seconds while the log grows, and tries sooner where that failed. It reports nothing: a disk that refuses it
// refuses the log too, which status shows, and Close reports.
func (s *Store) keepMeta() {
	defer close(s.metaDone)
	for {
		wait := metaEvery
		if s.metaErr.Load() != nil {
			wait = s.log.options.lookEvery
		}
		select {
		case <-time.After(wait):
			if err := s.writeMeta(); err != nil {
				s.metaErr.Store(&err)
			} else {
				s.metaErr.Store(nil)
			}
		case <-s.closing:
			return
		}
	}
}

const metaEvery = 5 * time.Second
