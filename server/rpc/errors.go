package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"connectrpc.com/connect"

	"ctxhub/server/hub"
	"ctxhub/server/metrics"
)

// errDraining ends streams when the hub goes down, and refuses what comes after.
var errDraining = errors.New("the hub is shutting down: connect again")

// Limits that pass by themselves; retryAfter tells when.
var (
	errStreams        = errors.New("too many streams")
	errProjectStreams = errors.New("too many streams of one project")
)

const retryAfter = "5" // seconds

// codes says of each reason how it is told to the caller, and how loud it is in the log: what is the hub's own fault is
// an error or a warning, what is the caller's is information, and what happens every day is for debugging only.
var codes = []struct {
	err   error
	code  connect.Code
	level slog.Level
	limit string
}{
	{hub.ErrInvalid, connect.CodeInvalidArgument, slog.LevelInfo, ""},
	{hub.ErrTooLarge, connect.CodeResourceExhausted, slog.LevelInfo, metrics.LimitSize},
	{errStreams, connect.CodeResourceExhausted, slog.LevelInfo, metrics.LimitStreams},
	{errProjectStreams, connect.CodeResourceExhausted, slog.LevelInfo, metrics.LimitStreamsPerProject},
	{hub.ErrIDTaken, connect.CodeAlreadyExists, slog.LevelInfo, ""},
	{hub.ErrNameTaken, connect.CodeAlreadyExists, slog.LevelInfo, ""},
	{hub.ErrNoProject, connect.CodeNotFound, slog.LevelInfo, ""},
	{hub.ErrPastHead, connect.CodeOutOfRange, slog.LevelInfo, ""},
	{hub.ErrArchived, connect.CodeFailedPrecondition, slog.LevelInfo, ""},
	{hub.ErrUnavailable, connect.CodeUnavailable, slog.LevelWarn, ""},
	{hub.ErrPoisoned, connect.CodeUnavailable, slog.LevelError, ""},
	{hub.ErrClosed, connect.CodeUnavailable, slog.LevelDebug, ""},
	{errDraining, connect.CodeUnavailable, slog.LevelDebug, ""},
	{hub.ErrDamaged, connect.CodeDataLoss, slog.LevelError, ""},
	{errUnauthenticated, connect.CodeUnauthenticated, slog.LevelDebug, ""},
	{errNotForThis, connect.CodePermissionDenied, slog.LevelInfo, ""},
	{context.Canceled, connect.CodeCanceled, slog.LevelDebug, ""},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded, slog.LevelInfo, ""},
}

// toWire gives an error its code, and notes on the call how it ended. What is not in the table is not for the caller to
// read: it gets the call's id, under which the log has the cause.
func toWire(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	call := callOf(ctx)
	if known := new(connect.Error); errors.As(err, &known) {
		if call.ended.err == nil {
			call.ended = endingOf(known)
		}
		return err
	}
	for _, c := range codes {
		if !errors.Is(err, c.err) {
			continue
		}
		call.ended = ending{err, c.code, c.level, c.limit}
		wire := connect.NewError(c.code, err)
		if c.limit != "" && c.limit != metrics.LimitSize {
			wire.Meta().Set("Retry-After", retryAfter)
		}
		return wire
	}
	call.ended = ending{err, connect.CodeInternal, slog.LevelError, ""}
	return connect.NewError(connect.CodeInternal, fmt.Errorf("internal error, reference %s: the hub's log has the cause", call.id))
}

// endingOf is for errors that Connect made, of requests that it could not read or callers that have gone, and for the
// few that the health check makes. None is the hub's fault.
func endingOf(err *connect.Error) ending {
	switch err.Code() {
	case connect.CodeCanceled:
		return ending{err, err.Code(), slog.LevelDebug, ""}
	case connect.CodeResourceExhausted:
		return ending{err, err.Code(), slog.LevelInfo, metrics.LimitSize}
	case connect.CodeInvalidArgument, connect.CodeNotFound: // they quote the request
		return ending{errNoCall, err.Code(), slog.LevelInfo, ""}
	}
	return ending{err, err.Code(), slog.LevelInfo, ""}
}

// errorTable applies toWire to every call.
type errorTable struct{}

func (errorTable) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		return resp, toWire(ctx, err)
	}
}

func (errorTable) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return toWire(ctx, next(ctx, conn))
	}
}

func (errorTable) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
