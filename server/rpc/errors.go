package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"connectrpc.com/connect"

	"ctxhub/server/hub"
)

// errDraining ends streams when the hub goes down, and refuses what comes after.
var errDraining = errors.New("the hub is shutting down: connect again")

// errLimit is beyond a limit that passes by itself; retryAfter tells when.
var errLimit = errors.New("limit")

const retryAfter = "5" // seconds

var codes = []struct {
	err  error
	code connect.Code
}{
	{hub.ErrInvalid, connect.CodeInvalidArgument},
	{hub.ErrTooLarge, connect.CodeResourceExhausted},
	{errLimit, connect.CodeResourceExhausted},
	{hub.ErrIDTaken, connect.CodeAlreadyExists},
	{hub.ErrNameTaken, connect.CodeAlreadyExists},
	{hub.ErrNoProject, connect.CodeNotFound},
	{hub.ErrPastHead, connect.CodeOutOfRange},
	{hub.ErrArchived, connect.CodeFailedPrecondition},
	{hub.ErrUnavailable, connect.CodeUnavailable},
	{hub.ErrPoisoned, connect.CodeUnavailable},
	{hub.ErrClosed, connect.CodeUnavailable},
	{errDraining, connect.CodeUnavailable},
	{hub.ErrDamaged, connect.CodeDataLoss},
	{errUnauthenticated, connect.CodeUnauthenticated},
	{context.Canceled, connect.CodeCanceled},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
}

// toWire gives an error its code. What is not in the table is not for the caller to read: it gets a reference,
// and the cause goes to the log under that reference.
func toWire(log *slog.Logger, procedure string, err error) error {
	if err == nil {
		return nil
	}
	if known := new(connect.Error); errors.As(err, &known) {
		return err
	}
	for _, c := range codes {
		if !errors.Is(err, c.err) {
			continue
		}
		wire := connect.NewError(c.code, err)
		if c.err == errLimit { //nolint:errorlint // the table's own value
			wire.Meta().Set("Retry-After", retryAfter)
		}
		return wire
	}
	reference := hub.NewHexID()
	log.Error("internal error", "reference", reference, "procedure", procedure, "error", err)
	return connect.NewError(connect.CodeInternal, fmt.Errorf("internal error, reference %s: the hub's log has the cause", reference))
}

// errorTable applies toWire to every call.
type errorTable struct{ log *slog.Logger }

func (t errorTable) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		return resp, toWire(t.log, req.Spec().Procedure, err)
	}
}

func (t errorTable) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return toWire(t.log, conn.Spec().Procedure, next(ctx, conn))
	}
}

func (errorTable) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
