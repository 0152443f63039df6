package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// logged is a log that a hub writes while a test reads it.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await returns the lines in which text stands, as soon as there is one: a call's line is written after its answer.
func (l *logged) await(t *testing.T, text string) []map[string]any {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var all []map[string]any
		for line := range strings.Lines(l.String()) {
			if !strings.Contains(line, text) || !strings.HasSuffix(line, "\n") {
				continue
			}
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, fields)
		}
		if len(all) > 0 {
			return all
		}
	}
	t.Fatalf("no line in the log has %q", text)
	return nil
}

func debugging(l *logged) func(*Config) {
	return func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}

// On every road, what a client is told about an error leads to the one line in the log.
func TestAnErrorsRequestIDIsInTheLogOnEveryRoad(t *testing.T) {
	log := new(logged)
	r := start(t, debugging(log))
	for i, road := range roads {
		t.Run(road.name, func(t *testing.T) {
			c := httpClient(t, road.http2)
			name := fmt.Sprint("project-", i)
			good := r.projectClient(c, r.join(t, name), road.options...)
			bad := r.projectClient(c, "ctx_cli_wrong", road.options...)
			_, notOurs := r.adminClient(c, road.options...).Revoke(t.Context(), &hubv1.RevokeRequest{Project: "nobody"})
			_, refused := good.Publish(t.Context(), &hubv1.PublishRequest{})
			_, unknown := bad.Status(t.Context(), &hubv1.StatusRequest{})
			for what, test := range map[string]struct {
				err           error
				code, project any
			}{
				"a unary call":   {refused, "invalid_argument", name},
				"the admin's":    {notOurs, "not_found", "(admin)"},
				"a wrong token":  {unknown, "unauthenticated", nil},
				"a stream":       {streamError(t, good), "out_of_range", name},
				"a wrong stream": {streamError(t, bad), "unauthenticated", nil},
			} {
				wire := new(connect.Error)
				if !errors.As(test.err, &wire) || wire.Meta().Get("X-Request-Id") == "" {
					t.Errorf("%s: %v has no request id: %v", what, test.err, wire.Meta())
					continue
				}
				lines := log.await(t, wire.Meta().Get("X-Request-Id"))
				if len(lines) != 1 || lines[0]["code"] != test.code || lines[0]["project"] != test.project {
					t.Errorf("%s: %v", what, lines)
				}
			}
		})
	}
}

func streamError(t *testing.T, c hubv1connect.HubServiceClient) error {
	t.Helper()
	stream, err := c.Sync(t.Context(), &hubv1.SyncRequest{After: 99})
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
	}
	return stream.Err()
}

// Every answer has a request id, also one that no service gives, and lines of JSON. Browsers may read it.
func TestEveryAnswerHasARequestID(t *testing.T) {
	r := start(t, func(c *Config) { c.AllowOrigins = []string{"https://page.example"} })
	token := r.join(t, "api")
	for what, test := range map[string]struct{ method, path, token, contentType, body string }{
		"lines of JSON":       {"GET", "/ctx.hub.v1.HubService/Sync", token, "", ""},
		"lines, refused":      {"GET", "/ctx.hub.v1.HubService/Sync?message=%7B", token, "", ""},
		"lines, no token":     {"POST", "/ctx.hub.v1.HubService/Sync", "", "application/json", "{}"},
		"lines too long":      {"POST", "/ctx.hub.v1.HubService/Sync", token, "application/json", strings.Repeat(" ", 1<<17)},
		"JSON":                {"POST", "/ctx.hub.v1.HubService/Status", token, "application/json", "{}"},
		"bad JSON":            {"POST", "/ctx.hub.v1.HubService/Status", token, "application/json", "{"},
		"another media type":  {"POST", "/ctx.hub.v1.HubService/Status", token, "text/odd", "{}"},
		"another method":      {"DELETE", "/ctx.hub.v1.HubService/Status", token, "", ""},
		"no method":           {"POST", "/ctx.hub.v1.HubService/Nothing", token, "application/json", "{}"},
		"gRPC, trailers only": {"POST", "/ctx.hub.v1.HubService/Status", "", "application/grpc", ""},
		"gRPC-Web":            {"POST", "/ctx.hub.v1.HubService/Status", "", "application/grpc-web", ""},
		"nothing there":       {"GET", "/nothing", "", "", ""},
		"metrics":             {"GET", "/metrics", token, "", ""},
		"metrics, no token":   {"GET", "/metrics", "", "", ""},
		"health":              {"GET", "/livez", "", "", ""},
		"a preflight":         {"OPTIONS", "/ctx.hub.v1.HubService/Status", "", "", ""},
	} {
		for _, http2 := range []bool{false, true} {
			h := request(t, r, http2, test.method, test.path, test.token, test.contentType, test.body).header
			if h.Get("X-Request-Id") != "mine-1" {
				t.Errorf("%s: %v", what, h)
			}
			if !strings.Contains(h.Get("Access-Control-Expose-Headers"), "X-Request-Id") && (test.method == "GET" || test.method == "POST") {
				t.Errorf("%s: a page cannot read it: %v", what, h)
			}
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// request brings its own request id and comes from a page. The answer is read to its end.
func request(t *testing.T, r *running, http2 bool, method, path, token, contentType, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if method == http.MethodOptions {
		req.Header.Set("Access-Control-Request-Method", http.MethodPost)
	}
	req.Header.Set("Origin", "https://page.example")
	req.Header.Set("X-Request-Id", "mine-1")
	res, err := httpClient(t, http2).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// A day in the life of a hub at the finest level: neither a token nor a content is in its log.
func TestNoSecretAndNoContentIsInTheLog(t *testing.T) {
	const content = "hush-this-is-content"
	log := new(logged)
	r := start(t, debugging(log))
	token, other := r.join(t, "api"), "ctx_cli_"+strings.Repeat("5ec4e7", 10)
	for i, road := range roads {
		c := httpClient(t, road.http2)
		p := r.projectClient(c, token, road.options...)
		id := fmt.Sprint("id-", i)
		publish(t, p, newEntry(id, content))
		for _, e := range []*hubv1.NewEntry{
			newEntry(id, content+"2"), newEntry("", content), newEntry("x", content+"\xff"),
			{Id: "x", Content: content}, newEntry("x", content+strings.Repeat("x", 1<<20)), newEntry("x", content+strings.Repeat("x", 9<<20)),
		} {
			if _, err := p.Publish(t.Context(), &hubv1.PublishRequest{Entries: []*hubv1.NewEntry{e}}); err == nil {
				t.Error("stored")
			}
		}
		_ = streamError(t, p)
		_ = streamError(t, r.projectClient(c, other, road.options...))
		sync, err := p.Sync(t.Context(), &hubv1.SyncRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for sync.Receive() {
		}
		_, _ = r.adminClient(c, road.options...).Register(t.Context(), &hubv1.RegisterRequest{Project: "api", CurrentToken: other})
	}
	for _, body := range []string{`{"entries":"` + content, `{"` + content + `":1`, content, `{"entries":[{"content":"` + content + `",}]}`} {
		for _, path := range []string{"Publish", "Sync", "Status", content} {
			request(t, r, true, "POST", "/ctx.hub.v1.HubService/"+path, token, "application/json", body)
			request(t, r, false, "GET", "/ctx.hub.v1.HubService/"+path+"?encoding=json&message="+url.QueryEscape(body), token, "", "")
			request(t, r, true, "POST", "/ctx.hub.v1.HubService/"+path, token, "application/grpc+json", body)
		}
	}
	request(t, r, false, "GET", "/"+token, token, "", "")
	request(t, r, false, "GET", "/metrics?token="+token, other, "", "")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	for what, secret := range map[string]string{"a content": "hush", "the admin's token": r.admin, "a project's token": token, "a wrong token": other} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s is in the log: %.400s", what, text[max(at-300, 0):])
		}
	}
	if n := strings.Count(text, `"msg":"call"`); n < 2*len(roads) {
		t.Errorf("only %d calls are in the log", n)
	}
	if n := strings.Count(text, `"msg":"call failed"`); n < 8*len(roads) {
		t.Errorf("only %d failed calls are in the log", n)
	}
}

var value = regexp.MustCompile(`(?m)^(ctxhub_\S+) (\S+)$`)

// scraped are the hub's own metrics by their names and labels.
func scraped(t *testing.T, r *running, token string) map[string]float64 {
	t.Helper()
	code, text := get(t, r, token, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	all := map[string]float64{}
	for _, m := range value.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = n
	}
	return all
}

func TestMetricsTellWhatHappened(t *testing.T) {
	r := start(t, func(c *Config) { c.MaxStreamsPerProject, c.DiskReserve = 1, 1<<20 })
	token := r.join(t, "api")
	c := r.projectClient(httpClient(t, true), token)
	publish(t, c, newEntry("a", "x"), newEntry("b", "x"))
	publish(t, c, newEntry("a", "x"))
	stream, err := c.Listen(t.Context(), &hubv1.ListenRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	if err := streamError(t, c); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Fatal(err)
	}
	_, _ = get(t, r, "wrong", "/metrics")
	_ = streamError(t, r.projectClient(httpClient(t, true), "wrong"))
	m := scraped(t, r, r.admin)
	for name, want := range map[string]float64{
		"ctxhub_head_sequence": 2, `ctxhub_entries{type="learning"}`: 2, `ctxhub_entries{type="task"}`: 0, "ctxhub_takes_entries": 1,
		"ctxhub_publish_duration_seconds_count": 2, "ctxhub_fsync_duration_seconds_count": 1,
		"ctxhub_commit_entries_count": 1, "ctxhub_commit_entries_sum": 2,
		`ctxhub_streams{method="listen"}`: 1, `ctxhub_streams{method="sync"}`: 0,
		"ctxhub_auth_failures_total": 2, `ctxhub_limits_hit_total{limit="streams_per_project"}`: 1,
		"ctxhub_disk_reserve_bytes": 1 << 20, `ctxhub_build_info{version="test"}`: 1,
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
	if m["ctxhub_disk_free_bytes"] <= 0 || m["ctxhub_log_size_bytes"] <= 0 || m["ctxhub_start_time_seconds"] < 1e9 {
		t.Errorf("%v", m)
	}
	s := status(t, c)
	a := s.GetActivity()
	if s.GetLogBytes() != uint64(m["ctxhub_log_size_bytes"]) || s.GetDiskReserveBytes() != 1<<20 || s.GetOldest() != 1 ||
		a.GetPublished() != 2 || a.GetEntriesPerSync() != 2 || a.GetAuthFailures() != 2 || a.GetLimitsHit() != 1 ||
		a.GetPublishSecondsP50() <= 0 || a.GetPublishSecondsP99() < a.GetPublishSecondsP50() || a.GetSyncSecondsP50() <= 0 ||
		a.GetSyncSecondsP99() < a.GetSyncSecondsP50() {
		t.Errorf("status: %v", s)
	}
}

// A listener that does not read is behind by what it did not read, and nobody else is.
func TestALaggingListenerIsSeen(t *testing.T) {
	r := start(t, nil)
	token := r.join(t, "api")
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	c := r.projectClient(httpClient(t, true), token, plain)
	slow, err := r.projectClient(httpClient(t, true), token, plain).Listen(t.Context(), &hubv1.ListenRequest{})
	if err != nil || !slow.Receive() {
		t.Fatal(err, slow.Err())
	}
	quick, err := c.Listen(t.Context(), &hubv1.ListenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for quick.Receive() {
		}
	}()
	const entries = 16 // of 1 MiB each: more than HTTP/2 lets a stream send ahead of its reader
	content := strings.Repeat("x", 1<<20)
	for i := range entries {
		publish(t, c, newEntry(fmt.Sprint("e", i), content))
	}
	var m map[string]float64
	settled := func() bool {
		m = scraped(t, r, token)
		return m[`ctxhub_listener_lag_entries_bucket{le="0"}`] == 1 && m["ctxhub_listener_lag_entries_count"] == 2
	}
	for deadline := time.Now().Add(20 * time.Second); !settled(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not one of two listeners is level: %v", m)
		}
	}
	if lag := m["ctxhub_listener_max_lag_entries"]; lag < 1 || lag > entries || m["ctxhub_listener_lag_entries_sum"] != lag {
		t.Errorf("the slow one is %v behind: %v", lag, m)
	}
	if s := status(t, c); s.GetListeners() != 2 || s.GetActivity().GetMaxLag() < 1 {
		t.Errorf("status: %v", s)
	}
	for slow.Receive() && slow.Msg().GetCursor() < entries {
	}
	for deadline := time.Now().Add(20 * time.Second); scraped(t, r, token)["ctxhub_listener_max_lag_entries"] != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has caught up, and is still said to be behind")
		}
	}
}

func TestMetricsNeedAToken(t *testing.T) {
	r := start(t, nil)
	for what, token := range map[string]string{"a project's": r.join(t, "prometheus"), "the admin's": r.admin} {
		if code, text := get(t, r, token, "/metrics"); code != http.StatusOK || !strings.Contains(text, "ctxhub_head_sequence 0") {
			t.Errorf("%s token: %d %s", what, code, text)
		}
	}
	gone := r.join(t, "gone")
	if _, err := r.adminClient(httpClient(t, true)).Revoke(t.Context(), &hubv1.RevokeRequest{Project: "gone"}); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "wrong", gone} {
		a := request(t, r, false, "GET", "/metrics", token, "", "")
		if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" ||
			strings.Contains(a.body, "ctxhub_head") || !strings.Contains(a.body, "authorization.credentials_file") {
			t.Errorf("%q: %d %s", token, a.status, a.body)
		}
	}
	open := start(t, func(c *Config) { c.OpenMetrics = true })
	if code, text := get(t, open, "", "/metrics"); code != http.StatusOK || !strings.Contains(text, "ctxhub_head_sequence 0") {
		t.Errorf("open: %d %s", code, text)
	}
	if failures := scraped(t, open, "wrong")["ctxhub_auth_failures_total"]; failures != 0 {
		t.Errorf("open metrics counted %v failures", failures)
	}
}

// The Go client's errors carry the id too, through its retries.
func TestTheClientsErrorsCarryTheRequestID(t *testing.T) {
	r := start(t, nil)
	c, err := client.New(client.Config{Addresses: []string{r.url}, Token: "ctx_cli_wrong"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, publishing := c.Publish(context.WithoutCancel(t.Context()), &hubv1.NewEntry{Id: "a", Type: "task", Content: "x"})
	_, asking := c.Status(t.Context())
	var syncing error
	for _, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		syncing = err
	}
	for what, err := range map[string]error{"Publish": publishing, "Status": asking, "Sync": syncing} {
		wire := new(connect.Error)
		if !errors.As(err, &wire) || wire.Meta().Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}
