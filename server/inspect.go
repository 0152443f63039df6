package server

import (
	"time"

	"ctxhub/server/store"
)

// LastEntry reads the sequence and the time of the last entry in a data directory, whether a hub runs on it or not.
// An empty log has the sequence 0.
func LastEntry(dataDir string) (sequence uint64, at time.Time, err error) {
	return store.LastEntry(dataDir)
}

// CheckAdminToken says whether admin.token holds what can be a token: fs.ErrNotExist or ErrDamaged if not.
func CheckAdminToken(dataDir string) error {
	_, err := store.ReadAdminToken(dataDir)
	return err
}
