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
		return newMeta(), claim{}, nil
	}
	if err != nil {
		return meta{}, claim{}, err
	}
	m, known, err := parseMeta(data)
	if err != nil {
		return meta{}, claim{}, fmt.Errorf("%s: %w", dir, err)
	}
	return m, known, nil
}

func newMeta() meta { return meta{Format: format, HubID: hub.NewHexID(), CreatedAt: time.Now().UTC()} }

// at is the meta with the claim that the log is durable up to a line.
func (m meta) at(head uint64, s sum) meta {
	m.Head, m.Sum = head, ""
	if head > 0 {
		m.Sum = s.String()
	}
	return m
}

func (m meta) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

// parseMeta refuses what no hub of this format has written.
func parseMeta(data []byte) (meta, claim, error) {
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return meta{}, claim{}, fmt.Errorf("%w: %s: %w", hub.ErrDamaged, metaName, err)
	}
	if m.Format > format {
		return meta{}, claim{}, fmt.Errorf("%w: it has format %d, this program reads up to %d", ErrNewerFormat, m.Format, format)
	}
	known := claim{head: m.Head}
	if n, err := hex.Decode(known.sum[:], []byte(m.Sum)); m.Head > 0 && (err != nil || n != len(known.sum)) || m.HubID == "" {
		return meta{}, claim{}, fmt.Errorf("%w: %s: its sum or hub_id is not as written", hub.ErrDamaged, metaName)
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
		m = m.at(head, last)
	}
	data, err := m.encode()
	if err != nil {
		return err
	}
	if err := writeWhole(s.files, filepath.Join(s.dir, metaName), data); err != nil {
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
