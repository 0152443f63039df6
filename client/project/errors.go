package project

import "errors"

// What a caller can tell apart with errors.Is. The errors that are returned wrap these and name the file.
var (
	// ErrNoContext: the directory belongs to no project.
	ErrNoContext = errors.New("no .context directory here or above")
	// ErrNotRegistered: the project has no connection yet.
	ErrNotRegistered = errors.New("this project is not registered with a hub")
	// ErrSealed: the connection file or its key is not what it was when the connection was sealed.
	ErrSealed = errors.New("the sealed connection cannot be opened: its bytes or the key changed")
	// ErrKeyMissing: there is a sealed connection, but not the key it was sealed with.
	ErrKeyMissing = errors.New("the key of the sealed connection is missing")
	// ErrKeyMode: other users of the machine can read the key.
	ErrKeyMode = errors.New("the key can be read by other users")
	// ErrKeySize: the key file does not hold 32 bytes.
	ErrKeySize = errors.New("the key does not have 32 bytes")
	// ErrLocked: another process has been working on the mirrors for too long.
	ErrLocked = errors.New("another sync holds the lock")
	// ErrNoTypes: the connection asks for no type of entry.
	ErrNoTypes = errors.New("this project is subscribed to nothing")
	// ErrNewerState: a newer version of this program wrote the sync state.
	ErrNewerState = errors.New("the sync state was written by a newer version")
	// ErrReconnected: the project was registered with another hub while this run went on.
	ErrReconnected = errors.New("the project's connection was changed by another command")
	// ErrUnsettled: the ground kept moving, which two processes alone cannot cause.
	ErrUnsettled = errors.New("the mirrors do not settle: something keeps changing them, or different hubs answer at this address")
	// ErrLink: a symbolic link stands where the mirrors belong.
	ErrLink = errors.New("a symbolic link stands in the mirrors' place, and they would overwrite what it points to")
	// ErrBadStream: the hub broke the rules of the protocol.
	ErrBadStream = errors.New("the hub's answer makes no sense")
)
