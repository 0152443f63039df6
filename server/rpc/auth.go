package rpc

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"ctxhub/server/hub"
	"ctxhub/server/metrics"
	"ctxhub/server/store"
)

// errUnauthenticated is the one answer to every token that is not good, so that it tells nothing about why.
var errUnauthenticated = errors.New("the token is missing or not valid")

// errNotForThis is a project's token where the admin's is needed, or the reverse.
var errNotForThis = errors.New("this token is good, but not for this method")

// caller is who a request comes from: the admin, or a project.
type caller struct {
	admin   bool
	project hub.Project
}

func callerOf(ctx context.Context) caller { return callOf(ctx).caller }

// stranger says that nobody knows who it is.
func (c *caller) stranger() bool { return !c.admin && c.project.Name == "" }

// name is the project's, or (admin), which no project can be called.
func (c *caller) name() string {
	if c.admin {
		return "(admin)"
	}
	return c.project.Name
}

// auth stands before decoding and decompression, so that a stranger costs a hash and no more.
type auth struct {
	store   *store.Store
	admin   hub.TokenHash
	write   *connect.ErrorWriter
	metrics *metrics.Metrics
}

// require lets callers through that allowed accepts.
func (a *auth) require(allowed func(procedure string, c caller) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := a.identify(r.Header)
		if !ok {
			a.metrics.AuthFailed()
			w.Header().Set("WWW-Authenticate", "Bearer")
			a.refuse(w, r, errUnauthenticated)
			return
		}
		callOf(r.Context()).caller = c
		if !allowed(r.URL.Path, c) {
			a.refuse(w, r, errNotForThis)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// How much of a refused request is awaited, and for how long.
const (
	maxUnread  = 64 << 10 // bytes
	unreadTime = time.Second
)

// refuse answers in the protocol of the request. A failure to write means that the caller has gone.
func (a *auth) refuse(w http.ResponseWriter, r *http.Request, err error) {
	control := http.NewResponseController(w)
	// HTTP/2 resets a request that is answered before all of it has come, and some clients (curl 7.88) then throw
	// the answer away. What is short is let in.
	if r.ContentLength <= maxUnread && control.SetReadDeadline(time.Now().Add(unreadTime)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxUnread)
	}
	_ = a.write.Write(w, r, toWire(r.Context(), err))
	// net/http would add that the body is empty, and nginx then takes the headers for all there is: it drops the
	// trailers, which are a gRPC answer. Headers that have left already say nothing of the body.
	_ = control.Flush()
}

// identify accepts exactly one header, exactly "Bearer TOKEN".
func (a *auth) identify(h http.Header) (caller, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return caller{}, false
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return caller{}, false
	}
	hash := hub.HashToken(token)
	if subtle.ConstantTimeCompare(hash[:], a.admin[:]) == 1 {
		return caller{admin: true}, true
	}
	project, ok := a.store.Authenticate(hash)
	return caller{project: project}, ok
}

// good says whether the caller's token still is.
func (a *auth) good(c caller) bool {
	if c.admin {
		return true
	}
	_, ok := a.store.Authenticate(c.project.Token)
	return ok
}
