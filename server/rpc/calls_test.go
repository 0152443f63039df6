package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctxhub/server/hub"
	"ctxhub/server/metrics"
	"ctxhub/server/store"
)

const (
	testAdmin   = "ctx_adm_the-admins"
	testProject = "ctx_cli_a-projects"
)

// fixture is a handler over a store whose writer can be made to fail.
type fixture struct {
	http.Handler
	store    *store.Store
	metrics  *metrics.Metrics
	draining chan struct{}
	log      *bytes.Buffer
	append   func() error
}

// Append implements hub.Writer.
func (f *fixture) Append(ctx context.Context, entries []hub.Entry) ([]uint64, error) {
	if f.append != nil {
		return nil, f.append()
	}
	return f.store.Append(ctx, entries)
}

func (f *fixture) Register(ctx context.Context, p hub.Project, current hub.TokenHash) error {
	return f.store.Register(ctx, p, current)
}

func (f *fixture) Revoke(ctx context.Context, name string, at time.Time) error {
	return f.store.Revoke(ctx, name, at)
}

func newFixture(t testing.TB, level slog.Level, change func(*Options, *store.Options)) *fixture {
	t.Helper()
	f := &fixture{metrics: metrics.New("test"), draining: make(chan struct{}), log: new(bytes.Buffer)}
	o := Options{
		Writer: f, AdminToken: testAdmin, Version: "test", Started: time.Now(), Heartbeat: time.Second,
		MaxStreams: 8, MaxStreamsPerProject: 4, Draining: f.draining, Metrics: f.metrics,
		Log: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: level})),
	}
	var s store.Options
	if change != nil {
		change(&o, &s)
	}
	var err error
	if f.store, err = store.Open(filepath.Join(t.TempDir(), "data"), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.store.Close() })
	project := hub.Project{ID: "1", Name: "api", Token: hub.HashToken(testProject), Created: time.Now()}
	if err := f.store.Register(t.Context(), project, hub.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	o.Store = f.store
	f.Handler = NewHandler(o)
	return f
}

func (f *fixture) ask(t testing.TB, method, path, token, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// lines empties the log.
func (f *fixture) lines(t testing.TB) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range bytes.Lines(f.log.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, fields)
	}
	f.log.Reset()
	return all
}

const onePublish = `{"entries":[{"id":"a","type":"task","content":"x"}]}`

const publishPath = "/ctx.hub.v1.HubService/Publish"

// Each way to end a call has its level and its words, and what is the caller's fault is for debugging only when nobody
// knows the caller.
func TestEveryFailedCallIsALineInTheLog(t *testing.T) {
	f := newFixture(t, slog.LevelDebug, func(o *Options, _ *store.Options) { o.MaxStreams = 0 })
	cause := errors.New("the cause in full")
	for what, test := range map[string]struct {
		method, path, token, body string
		append                    func() error
		want                      map[string]any // nil: not there
	}{
		"stored": {"POST", publishPath, testProject, onePublish, nil,
			map[string]any{"level": "DEBUG", "msg": "call", "procedure": publishPath, "project": "api", "code": nil, "error": nil}},
		"a cause of which the table knows nothing": {"POST", publishPath, testProject, onePublish, func() error { return cause },
			map[string]any{"level": "ERROR", "procedure": publishPath, "project": "api", "code": "internal", "error": cause.Error()}},
		"a panic": {"POST", publishPath, testProject, onePublish, func() error { panic(cause) },
			map[string]any{"level": "ERROR", "code": "internal", "error": "panic: " + cause.Error()}},
		"a full disk": {"POST", publishPath, testProject, onePublish, func() error { return hub.ErrUnavailable },
			map[string]any{"level": "WARN", "code": "unavailable"}},
		"a failed sync": {"POST", publishPath, testProject, onePublish, func() error { return hub.ErrPoisoned },
			map[string]any{"level": "ERROR", "code": "unavailable"}},
		"damage": {"POST", publishPath, testProject, onePublish, func() error { return hub.ErrDamaged },
			map[string]any{"level": "ERROR", "code": "data_loss"}},
		"a call that was given up": {"POST", publishPath, testProject, onePublish, func() error { return context.Canceled },
			map[string]any{"level": "DEBUG", "code": "canceled"}},
		"a bad entry": {"POST", publishPath, testProject, `{"entries":[{"id":"a","type":"task"}]}`, nil,
			map[string]any{"level": "INFO", "code": "invalid_argument", "error": "the content is empty"}},
		"no JSON": {"POST", publishPath, testProject, `{"entries":"hush`, nil,
			map[string]any{"level": "INFO", "code": "invalid_argument", "error": errNoCall.Error()}},
		"a limit": {"GET", "/ctx.hub.v1.HubService/Sync", testProject, "", nil,
			map[string]any{"level": "INFO", "code": "resource_exhausted", "procedure": "/ctx.hub.v1.HubService/Sync"}},
		"the wrong token": {"POST", publishPath, "ctx_cli_wrong", onePublish, nil,
			map[string]any{"level": "DEBUG", "code": "unauthenticated", "project": nil}},
		"the admin's token": {"POST", publishPath, testAdmin, onePublish, nil,
			map[string]any{"level": "INFO", "code": "permission_denied", "project": "(admin)"}},
		"a stranger who asks for nonsense": {"POST", "/grpc.health.v1.Health/Check", "", `{"service":"nonsense"}`, nil,
			map[string]any{"level": "DEBUG", "code": "not_found", "procedure": "/grpc.health.v1.Health/Check"}},
		"a path that is none": {"GET", "/hush", "", "", nil,
			map[string]any{"level": "DEBUG", "code": "unimplemented", "procedure": "unknown"}},
		"a method that is none": {"POST", "/ctx.hub.v1.HubService/hush", testProject, "", nil,
			map[string]any{"level": "INFO", "code": "unimplemented", "procedure": "unknown"}},
		"metrics without a token": {"GET", "/metrics", "", "", nil,
			map[string]any{"level": "DEBUG", "code": "unauthenticated", "procedure": "/metrics"}},
	} {
		t.Run(what, func(t *testing.T) {
			f.append = test.append
			answer := f.ask(t, test.method, test.path, test.token, test.body)
			text := f.log.String()
			lines := f.lines(t)
			if len(lines) != 1 || strings.Contains(text, "hush") {
				t.Fatalf("%d lines: %s", len(lines), text)
			}
			got := lines[0]
			for key, want := range test.want {
				if got[key] != want {
					t.Errorf("%s is %v, want %v", key, got[key], want)
				}
			}
			id, ok := got["request_id"].(string)
			if !ok || id == "" || answer.Header().Get("X-Request-Id") != id || got["duration"] == nil {
				t.Errorf("answered as %q, logged as %v", answer.Header().Get("X-Request-Id"), got)
			}
			if got["code"] == "internal" && (!strings.Contains(answer.Body.String(), id) || strings.Contains(answer.Body.String(), "cause in full")) {
				t.Errorf("the caller is told %s", answer.Body)
			}
		})
	}
}

// What happens every day costs no line unless someone asked for it, and a stranger cannot make any.
func TestAStrangerCannotFillTheLog(t *testing.T) {
	f := newFixture(t, slog.LevelInfo, nil)
	for _, path := range []string{publishPath, "/ctx.hub.v1.AdminService/Revoke", "/x", "/metrics", "/livez", "/grpc.health.v1.Health/Check"} {
		for _, body := range []string{"", "{", `{"service":"x"}`} {
			f.ask(t, http.MethodPost, path, "", body)
			f.ask(t, http.MethodGet, path, "ctx_cli_wrong", body)
			f.ask(t, http.MethodPost, path, "", body, "Content-Type", "application/grpc")
			f.ask(t, http.MethodPost, path, "", body, "Content-Type", "text/odd")
		}
	}
	f.ask(t, http.MethodPost, publishPath, testProject, onePublish)
	if f.log.Len() > 0 {
		t.Error(f.log)
	}
	f.ask(t, http.MethodPost, publishPath, testProject, "{}")
	if lines := f.lines(t); len(lines) != 1 {
		t.Errorf("a project's mistake: %v", lines)
	}
}

func TestRequestID(t *testing.T) {
	f := newFixture(t, slog.LevelError, nil)
	for id, taken := range map[string]bool{
		"a": true, "Ab9._-": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\tb": false, "é": false, "a/b": false, `a"b`: false, "%0a": false,
	} {
		got := f.ask(t, http.MethodGet, "/livez", "", "", requestIDHeader, id).Header().Get(requestIDHeader)
		if (got == id) != taken || got == "" {
			t.Errorf("%q is answered with %q", id, got)
		}
	}
	seen := map[string]bool{}
	for range 100 {
		seen[f.ask(t, http.MethodGet, "/livez", "", "").Header().Get(requestIDHeader)] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d ids for 100 calls", len(seen))
	}
}

// A handler that is not Connect's may panic, too.
func TestAPanicIsLoggedAndGoesOn(t *testing.T) {
	f := newFixture(t, slog.LevelInfo, nil)
	log := slog.New(slog.NewJSONHandler(f.log, nil))
	h := (&calls{log: log, metrics: f.metrics}).watch(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("odd") }))
	defer func() {
		if p := recover(); p != "odd" {
			t.Errorf("net/http is told %v", p)
		}
		if lines := f.lines(t); len(lines) != 1 || lines[0]["error"] != "panic: odd" || lines[0]["level"] != "ERROR" {
			t.Errorf("%v", lines)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
}

func TestLivezAndReadyz(t *testing.T) {
	f := newFixture(t, slog.LevelError, func(_ *Options, s *store.Options) { s.Reserve = 1 << 62 })
	want := func(when, path string, status int, body string) {
		t.Helper()
		got := f.ask(t, http.MethodGet, path, "", "")
		if got.Code != status || got.Body.String() != body+"\n" {
			t.Errorf("%s: %s says %d %s", when, path, got.Code, got.Body)
		}
		if head := f.ask(t, http.MethodHead, path, "", ""); head.Code != status {
			t.Errorf("%s: HEAD %s says %d", when, path, head.Code)
		}
	}
	want("in health", "/livez", http.StatusOK, "ok")
	want("in health", "/readyz", http.StatusOK, "ok")
	if got := f.ask(t, http.MethodPost, publishPath, testProject, onePublish); got.Code != http.StatusServiceUnavailable {
		t.Fatalf("the disk refuses nothing: %d %s", got.Code, got.Body)
	}
	want("degraded", "/livez", http.StatusOK, "ok")
	want("degraded", "/readyz", http.StatusOK, "ok for reading, but the hub takes no entries: ctx hub status says why")
	if text := f.ask(t, http.MethodGet, "/metrics", testProject, "").Body.String(); !strings.Contains(text, "\nctxhub_takes_entries 0\n") {
		t.Error(text)
	}
	close(f.draining)
	want("draining", "/livez", http.StatusOK, "ok")
	want("draining", "/readyz", http.StatusServiceUnavailable, "the hub is shutting down")
	if got := f.ask(t, http.MethodPost, "/readyz", "", ""); got.Code != http.StatusNotFound {
		t.Errorf("POST: %d", got.Code)
	}
}

func TestLimitsAreCountedByName(t *testing.T) {
	counted := func(f *fixture) map[string]string {
		all := map[string]string{}
		for line := range strings.Lines(f.ask(t, http.MethodGet, "/metrics", testAdmin, "").Body.String()) {
			if rest, ok := strings.CutPrefix(line, `ctxhub_limits_hit_total{limit="`); ok {
				name, n, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
				all[name] = n
			}
		}
		return all
	}
	want := func(f *fixture, size, streams, perProject string) {
		t.Helper()
		if got := counted(f); !maps.Equal(got, map[string]string{"size": size, "streams": streams, "streams_per_project": perProject}) {
			t.Errorf("%v", got)
		}
	}
	f := newFixture(t, slog.LevelError, func(o *Options, _ *store.Options) { o.MaxStreamsPerProject = 0 })
	want(f, "0", "0", "0")
	f.ask(t, http.MethodPost, publishPath, testProject, `{"entries":[{"id":"a","type":"task","content":"`+strings.Repeat("x", 1<<20+1)+`"}]}`)
	want(f, "1", "0", "0")
	f.ask(t, http.MethodPost, publishPath, testProject, `{"entries":[{"id":"a","type":"task","content":"`+strings.Repeat("x", maxMessage)+`"}]}`)
	want(f, "2", "0", "0")
	frame := "\x00\x00\x80\x00\x01" + strings.Repeat("x", maxMessage+1)
	for i, protocol := range []string{"application/grpc", "application/grpc-web"} {
		f.ask(t, http.MethodPost, publishPath, testProject, frame, "Content-Type", protocol)
		want(f, []string{"3", "4"}[i], "0", "0")
	}
	got := f.ask(t, http.MethodGet, "/ctx.hub.v1.HubService/Sync", testProject, "")
	if got.Code != http.StatusTooManyRequests {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	want(f, "4", "0", "1")
	f = newFixture(t, slog.LevelError, func(o *Options, _ *store.Options) { o.MaxStreams = 0 })
	f.ask(t, http.MethodGet, "/ctx.hub.v1.HubService/Sync", testProject, "")
	want(f, "0", "1", "0")
	f.ask(t, http.MethodPost, publishPath, testProject, "{}")
	want(f, "0", "1", "0")
}

// quiet is an answer that nobody reads.
type quiet struct{ header http.Header }

func (q quiet) Header() http.Header         { return q.header }
func (q quiet) WriteHeader(int)             {}
func (q quiet) Write(p []byte) (int, error) { return len(p), nil }

type quietLog struct{}

func (quietLog) Write(p []byte) (int, error) { return len(p), nil }

// What watching a call costs when nothing goes wrong and debugging is off.
func BenchmarkWatchACall(b *testing.B) {
	f := newFixture(b, slog.LevelInfo, nil)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	watched := (&calls{log: slog.New(slog.NewTextHandler(quietLog{}, nil)), metrics: f.metrics}).watch(nothing)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, publishPath, http.NoBody)
	w := quiet{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		watched.ServeHTTP(w, r)
	}
}
