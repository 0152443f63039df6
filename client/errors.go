package client

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
)

// What may go wrong on the way to a hub. Errors of calls are these under errors.Is and say more in words.
var (
	// ErrUnreachable: nothing listens there, there is no route, or the name is unknown.
	ErrUnreachable = errors.New("the hub cannot be reached")
	// ErrTimeout: something accepted the connection and did not answer in time.
	ErrTimeout = errors.New("the hub does not answer")
	// ErrConnectionLost: the connection ended before the answer did.
	ErrConnectionLost = errors.New("the connection to the hub was lost")
	// ErrNotAHub: what answers is an HTTP server without a hub, or does not speak HTTP at all.
	ErrNotAHub = errors.New("not a hub")
	// ErrServerWantsTLS: the address says plaintext, the server wants TLS.
	ErrServerWantsTLS = errors.New("the server wants TLS")
	// ErrServerIsPlaintext: the address says TLS, the server speaks plaintext.
	ErrServerIsPlaintext = errors.New("the server does not speak TLS")
	// ErrCertificate: the TLS handshake failed: unknown authority, other name, expired.
	ErrCertificate = errors.New("the server's certificate is not good")
	// ErrTooLarge: a proxy in front of the hub limits the size of requests (HTTP status 413).
	ErrTooLarge = errors.New("a proxy refuses the size of the request")
	// ErrProxy: a proxy answers, but the hub behind it does not, or the proxy itself fails (HTTP status 5xx).
	ErrProxy = errors.New("a proxy answers in place of the hub")
	// ErrRestored: a stream that broke cannot be resumed, since the hub has another log in place of what was read.
	ErrRestored = errors.New("the hub was restored or repaired")
	// ErrClosed: the Client was closed.
	ErrClosed = errors.New("the client is closed")
)

// fault is something wrong on the way to the hub. It reads as its sentence and is its kind. The cause is
// in the sentence only: it may be io.EOF or a deadline, which mean something else to whoever asks errors.Is.
type fault struct {
	kind     error
	sentence string
	unsent   bool // the hub has certainly seen nothing of the request
}

func (f *fault) Error() string { return f.sentence }
func (f *fault) Unwrap() error { return f.kind }

func newFault(code connect.Code, kind error, format string, args ...any) *connect.Error {
	return connect.NewError(code, &fault{kind: kind, sentence: fmt.Sprintf(format, args...)})
}

func asFault(err error) (*fault, bool) {
	var f *fault
	ok := errors.As(err, &f)
	return f, ok
}

// unsent reports whether the hub has certainly seen nothing of the call.
func unsent(err error) bool {
	f, ok := asFault(err)
	return ok && f.unsent
}

// IsTaken reports whether a Publish was refused because the hub has something else under one of its ids.
func IsTaken(err error) bool {
	return connect.IsWireError(err) && connect.CodeOf(err) == connect.CodeAlreadyExists
}

// IsRefused reports whether a Publish was refused for its entries, so that asking again changes nothing. With
// several entries the fault may be that of one.
func IsRefused(err error) bool {
	if f, ok := asFault(err); ok {
		return errors.Is(f, ErrTooLarge)
	}
	switch connect.CodeOf(err) {
	case connect.CodeAlreadyExists, connect.CodeInvalidArgument, connect.CodeFailedPrecondition:
		return true
	case connect.CodeResourceExhausted:
		_, passes := retryAfter(err)
		return !passes
	}
	return false
}

// contextError is why ctx ended, as the error of a call.
func contextError(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return connect.NewError(connect.CodeCanceled, ErrClosed)
	}
	code := connect.CodeCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = connect.CodeDeadlineExceeded
	}
	return connect.NewError(code, ctx.Err())
}
