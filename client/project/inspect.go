package project

import (
	"context"
	"time"
)

// inspectWait is short: another run holds the lock for as long as one batch takes.
const inspectWait = 2 * time.Second

// Inspect compares the mirrors of a connection's types with the sync state, and returns a sentence for each that
// the next sync builds anew. It writes nothing. ErrNoTypes, ErrLink, ErrLocked, ErrNewerState.
func Inspect(ctx context.Context, d *Dir, conn *Connection) (*State, []string, error) {
	m, err := openMirrors(d, conn, Options{})
	if err != nil {
		return nil, nil, err
	}
	if isDir(d.hubPath("")) { // else there is nothing to compare, and taking the lock would make it
		unlock, err := d.lock(ctx, inspectWait)
		if err != nil {
			return nil, nil, err
		}
		defer unlock()
	}
	st, err := d.State()
	if err != nil {
		return nil, nil, err
	}
	var anew []string
	if st.Lost != "" {
		anew = append(anew, st.Lost)
	}
	list, err := m.stands(m.kinds, st)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range list {
		if s.why != "" {
			anew = append(anew, s.why)
		}
	}
	return st, anew, nil
}
