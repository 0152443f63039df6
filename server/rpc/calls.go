package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"ctxhub/server/hub"
	"ctxhub/server/metrics"
)

// requestIDHeader names a call, in its answer and in the log.
const requestIDHeader = "X-Request-Id"

const maxRequestID = 64 // bytes of an id that a caller brings

// call is one request from its arrival to its line in the log: who made it and how it ended. It is also the writer
// that it is answered with, so that all of this costs one allocation.
type call struct {
	http.ResponseWriter
	id     string
	begun  time.Time
	caller caller
	status int // of HTTP; 0 until the headers leave
	ended  ending
}

// ending is how a call failed. The zero value is a call that did not.
type ending struct {
	err   error // in full, for the log alone
	code  connect.Code
	level slog.Level
	limit string // which one refused it, if one did
}

type callKey struct{}

// callOf is never nil.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return new(call)
}

// WriteHeader implements http.ResponseWriter.
func (c *call) WriteHeader(status int) {
	if c.status == 0 && status >= http.StatusOK {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what it controls.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Flush implements http.Flusher, which streams need.
func (c *call) Flush() {
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// calls stands before everything else: it names each call, and writes down how it ended.
type calls struct {
	log        *slog.Logger
	metrics    *metrics.Metrics
	procedures map[string]bool // what may stand in the log of what a stranger asked for
}

func (l *calls) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{ResponseWriter: w, id: requestID(r.Header), begun: time.Now()}
		w.Header().Set(requestIDHeader, c.id)
		// Connect recovers what its handlers do; this is for the rest. net/http then ends the connection.
		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
				c.ended = ending{err: fmt.Errorf("panic: %v", p), code: connect.CodeInternal, level: slog.LevelError}
			}
			l.finish(r, c)
			if p != nil {
				panic(p)
			}
		}()
		next.ServeHTTP(c, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// requestID is the caller's own name for its request, if it is a good one, so that it can be followed from system
// to system; otherwise a new one.
func requestID(h http.Header) string {
	if id := h.Get(requestIDHeader); id != "" && len(id) <= maxRequestID && strings.IndexFunc(id, notInRequestID) < 0 {
		return id
	}
	return hub.NewHexID()
}

func notInRequestID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

// errNoCall is a request that was refused before there was anything to call: it could not be decoded, is too large,
// or asks for what is not there. What is wrong with it was told to its caller; it may quote the request, and a
// request's content is not for the log.
var errNoCall = errors.New("the request was refused before it was a call")

// finish counts and logs. It costs next to nothing when nobody wants to know.
func (l *calls) finish(r *http.Request, c *call) {
	if c.ended.err == nil {
		c.ended = c.answered()
	}
	if c.ended.limit != "" {
		l.metrics.LimitHit(c.ended.limit)
	}
	// Someone without a good token must not be able to fill the disk.
	if c.ended.level == slog.LevelInfo && c.caller.stranger() {
		c.ended.level = slog.LevelDebug
	}
	if !l.log.Enabled(r.Context(), c.ended.level) {
		return
	}
	procedure := r.URL.Path
	if !l.procedures[procedure] {
		procedure = "unknown"
	}
	attrs := append(make([]slog.Attr, 0, 8), slog.String("request_id", c.id), slog.String("procedure", procedure))
	if !c.caller.stranger() {
		attrs = append(attrs, slog.String("project", c.caller.name()))
	}
	attrs = append(attrs, slog.Duration("duration", time.Since(c.begun)))
	if c.ended.err == nil {
		l.log.LogAttrs(r.Context(), c.ended.level, "call", attrs...)
		return
	}
	attrs = append(attrs, slog.String("code", c.ended.code.String()), slog.Any("error", c.ended.err))
	l.log.LogAttrs(r.Context(), c.ended.level, "call failed", attrs...)
}

// answered reads from the headers how a call ended that none of ours has ended.
func (c *call) answered() ending {
	code := codeOfStatus(c.status)
	for _, key := range []string{http.TrailerPrefix + "Grpc-Status", "Grpc-Status"} {
		if values := c.Header()[key]; len(values) > 0 {
			if grpc, err := strconv.ParseUint(values[0], 10, 32); err == nil {
				code = connect.Code(grpc)
			}
		}
	}
	switch code {
	case 0:
		return ending{level: slog.LevelDebug}
	case connect.CodeResourceExhausted: // the one limit that Connect itself knows
		return ending{err: errNoCall, code: code, level: slog.LevelInfo, limit: metrics.LimitSize}
	}
	return ending{err: errNoCall, code: code, level: slog.LevelInfo}
}

// codeOfStatus is 0 for success.
func codeOfStatus(status int) connect.Code {
	switch {
	case status < http.StatusBadRequest:
		return 0
	case status == http.StatusUnauthorized:
		return connect.CodeUnauthenticated
	case status == http.StatusNotFound:
		return connect.CodeUnimplemented
	case status == http.StatusTooManyRequests:
		return connect.CodeResourceExhausted
	case status == http.StatusServiceUnavailable:
		return connect.CodeUnavailable
	case status >= http.StatusInternalServerError:
		return connect.CodeInternal
	}
	return connect.CodeInvalidArgument
}
