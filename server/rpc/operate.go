package rpc

import (
	"io"
	"net/http"

	"ctxhub/server/store"
)

// What programs that look after a hub ask for, beside the services.
const (
	metricsPath = "/metrics"
	livePath    = "/livez"
	readyPath   = "/readyz"
)

// requireForMetrics lets any good token through, or everyone if open.
func (a *auth) requireForMetrics(open bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := a.identify(r.Header)
		if !ok && !open {
			a.metrics.AuthFailed()
			_ = toWire(r.Context(), errUnauthenticated) // for the log; the answer is for people who set up a scrape
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the metrics need a token, a project's or the admin's: register a project for Prometheus and name a file "+
				"with its token in authorization.credentials_file, or start the hub with --open-metrics (docs/monitoring.md)",
				http.StatusUnauthorized)
			return
		}
		callOf(r.Context()).caller = c
		next.ServeHTTP(w, r)
	})
}

// live says that the process serves. Whoever restarts a hub that does not say so would not help one that has trouble.
func live(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }

// ready says whether calls may be sent here. A hub that takes no entries still serves readers. Why it takes none is
// not for those who have no token.
func ready(s *store.Store, draining <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-draining:
			say(w, http.StatusServiceUnavailable, "the hub is shutting down")
			return
		default:
		}
		if s.Degraded() != "" {
			say(w, http.StatusOK, "ok for reading, but the hub takes no entries: ctx hub status says why")
			return
		}
		say(w, http.StatusOK, "ok")
	}
}

// say answers with one line. A failure to write means that the caller has gone.
func say(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, line+"\n")
}
