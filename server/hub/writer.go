package hub

import (
	"context"
	"time"
)

// Writer is the one seam that changes go through. Each verb returns when its change is durable (on this
// node's disk, or on a majority's), or with an error and nothing changed. Every verb may be repeated with
// the same arguments and then changes nothing more, so that a retry, a failover and a replay are one thing.
type Writer interface {
	// Append stores all entries, in order, or none, and returns the sequence of each. An entry that is stored
	// already (Same) keeps its sequence; ErrIDTaken if its id is another's. Callers have validated the
	// entries and stamped origin and timestamp.
	Append(ctx context.Context, entries []Entry) ([]uint64, error)

	// Register stores a new project, or replaces the token of an existing one: where its project is revoked,
	// or where prior is its present token. ErrNameTaken otherwise. A project with the ID already stored is
	// left as it is.
	Register(ctx context.Context, p Project, prior TokenHash) error

	// Revoke marks the project's token as worthless. ErrNoProject for an unknown name; repeating keeps the
	// first time.
	Revoke(ctx context.Context, name string, at time.Time) error
}
