package hub

import (
	"errors"
	"fmt"
)

// Each reason for a refusal, once. They are wrapped with %w and context on the way up; server/rpc maps them
// to codes.
var (
	// ErrInvalid: the request can never be right as it stands.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: an entry or a batch beyond the limits.
	ErrTooLarge = errors.New("too large")
	// ErrIDTaken: the id is stored with other content.
	ErrIDTaken = errors.New("id already used for another entry")
	// ErrNameTaken: a project of that name is registered.
	ErrNameTaken = errors.New("project name already taken")
	// ErrNoProject: no project of that name.
	ErrNoProject = errors.New("no such project")
	// ErrUnavailable: the disk refused this write and left nothing behind; trying again later may work.
	ErrUnavailable = errors.New("cannot be stored now")
	// ErrPoisoned: a sync failed, so that what the disk holds is unknown until a restart reads it again.
	ErrPoisoned = errors.New("no longer takes entries until it is restarted")
	// ErrClosed: the hub is going down.
	ErrClosed = errors.New("hub is shutting down")
	// ErrPastHead: a cursor beyond the last entry, so that reader and log do not belong together.
	ErrPastHead = errors.New("cursor is beyond the end of the log")
	// ErrArchived: a cursor before the oldest entry that is still there.
	ErrArchived = errors.New("no longer in the archive")
	// ErrDamaged: bytes on disk are not what was written.
	ErrDamaged = errors.New("damaged")
)

// refusal reads as its own sentence and is one of the errors above.
type refusal struct {
	kind     error
	sentence string
}

func (r *refusal) Error() string { return r.sentence }
func (r *refusal) Unwrap() error { return r.kind }

// Refuse makes an error that is kind and reads as the formatted sentence alone.
func Refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}
