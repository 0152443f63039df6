package project

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const stateVersion = 1

// State is how far the mirrors of a project are. It is kept in .context/hub/.sync-state.json.
type State struct {
	Version int `json:"version"`
	// HubID is the hub that the mirrors are of; empty before the first sync.
	HubID string `json:"hub_id"`
	// LastSuccess is when the hub was last heard; zero before the first sync.
	LastSuccess time.Time `json:"last_success"`
	// Mirrors has the mirrors by type of entry.
	Mirrors map[string]Mirror `json:"mirrors"`
	// Owed says which own entries are to be published again; nil if none is.
	Owed *Debt `json:"owed,omitempty"`

	// Lost says in a sentence why a state file that is there says nothing; empty if it is good or missing.
	// The next sync builds the mirrors anew.
	Lost string `json:"-"`
}

// Mirror is how far the mirror of one type is.
type Mirror struct {
	// LastSequence is the cursor: all entries of the type up to here are in the file.
	LastSequence uint64 `json:"last_sequence"`
	// Sum is the hub's sum at the cursor, which names everything up to there. Empty at 0, and where the hub
	// tells none.
	Sum string `json:"sum,omitempty"`
	// Bytes is how much of the file that is. What a killed run wrote after it does not count.
	Bytes int64 `json:"bytes"`
	// SHA256 is the hash of these bytes, in hex.
	SHA256 string `json:"sha256"`
}

// Cursor is the sequence up to which everything of all these types is mirrored; 0 for no types.
func (s *State) Cursor(types []string) uint64 {
	var lowest uint64
	for i, name := range types {
		if last := s.Mirrors[name].LastSequence; i == 0 || last < lowest {
			lowest = last
		}
	}
	return lowest
}

// State reads how far the mirrors are. A missing file is an empty state, and one that cannot be used is an
// empty state with Lost set. ErrNewerState if a newer version of the program wrote it.
func (d *Dir) State() (*State, error) {
	path := d.hubPath(stateFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &State{Version: stateVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the sync state: %w", err)
	}
	st, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	return st, nil
}

func parseState(data []byte) (*State, error) {
	// The version first: a newer format need not look like this one in anything else.
	var format struct{ Version int }
	if err := json.Unmarshal(data, &format); err != nil {
		return lost("the sync state was damaged"), nil //nolint:nilerr // the state carries the reason, and the mirrors are built anew
	}
	if format.Version > stateVersion {
		return nil, fmt.Errorf("%w (format %d, this one knows %d)", ErrNewerState, format.Version, stateVersion)
	}
	if format.Version == 0 {
		return lost("the sync state was written by an earlier program"), nil
	}
	st := &State{}
	if err := json.Unmarshal(data, st); err != nil || !st.sound() {
		return lost("the sync state was damaged"), nil //nolint:nilerr // as above
	}
	return st, nil
}

func (s *State) sound() bool {
	for _, m := range s.Mirrors {
		if m.Bytes <= 0 || m.Sum != "" && !isSum(m.Sum) {
			return false
		}
	}
	return s.Version == stateVersion
}

// isSum tells whether this is a sum as the hub writes it: SHA-256 in hex.
func isSum(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == sha256.Size
}

func lost(why string) *State {
	return &State{Version: stateVersion, Lost: why + ": the mirrors are built anew"}
}

// saveState writes the state of a run that has just heard the hub.
func (d *Dir) saveState(st *State) error {
	st.LastSuccess = time.Now().UTC().Truncate(time.Second)
	return d.putState(st)
}

// putState must be called under the lock, which is why its temporary file needs no name of its own. A
// state that a power loss takes back is harmless: the mirrors are then longer than it says, and what it
// knew of the hub is found out again.
func (d *Dir) putState(st *State) error {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write the sync state: %w", err)
	}
	path := d.hubPath(stateFile)
	if err := d.disk.replace(path, path+".tmp", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the sync state: %w", err)
	}
	return nil
}
