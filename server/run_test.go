package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/store"
)

func TestDrainEndsStreamsAndKeepsWhatWasAcknowledged(t *testing.T) {
	r := start(t, nil)
	c := r.project(t, "api")
	publish(t, c, newEntry("a", "x"))
	stream, err := c.Listen(t.Context(), &hubv1.ListenRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	ended := make(chan error, 1)
	go func() {
		for stream.Receive() {
		}
		ended <- stream.Err()
	}()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the stream", <-ended, connect.CodeUnavailable, "shutting down")
	if _, err := FindLocal(r.dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the drain: %v", err)
	}
	for _, name := range []string{store.PIDName, store.AddressName} {
		if _, err := os.Stat(filepath.Join(r.dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind (%v)", name, err)
		}
	}
	again := start(t, func(config *Config) { config.DataDir = r.dir })
	if again.admin != r.admin {
		t.Error("the admin token changed")
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	r := start(t, nil)
	taken := r.port(t)
	cert, _ := certificate(t, "a")
	_, key := certificate(t, "b")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"port taken":                {func(c *Config) { c.Port = taken }, ErrPortTaken},
		"bad port":                  {func(c *Config) { c.Port = 65536 }, ErrBadConfig},
		"no data directory":         {func(c *Config) { c.DataDir = "" }, ErrBadConfig},
		"a file for data":           {func(c *Config) { c.DataDir = file }, ErrDataDir},
		"data in use":               {func(c *Config) { c.DataDir = r.dir }, ErrInUse},
		"bad address":               {func(c *Config) { c.Bind = "192.0.2.1" }, ErrBadConfig},
		"certificate alone":         {func(c *Config) { c.TLSCert = cert }, ErrBadConfig},
		"certificate of other key":  {func(c *Config) { c.TLSCert, c.TLSKey = cert, key }, ErrBadConfig},
		"missing certificate":       {func(c *Config) { c.TLSCert, c.TLSKey = file+"x", file+"y" }, ErrBadConfig},
		"heartbeat beyond a minute": {func(c *Config) { c.Heartbeat = time.Minute }, ErrBadConfig},
		"origin with a path":        {func(c *Config) { c.AllowOrigins = []string{"https://a.example/x"} }, ErrBadConfig},
		"negative streams":          {func(c *Config) { c.MaxStreams = -1 }, ErrBadConfig},
	} {
		config := Config{Bind: "127.0.0.1", DataDir: filepath.Join(t.TempDir(), "data")}
		test.change(&config)
		if err := Run(t.Context(), config); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
}

func TestTheAdminTokenIsShownByTheFirstHubThatRuns(t *testing.T) {
	r := start(t, nil)
	taken := r.port(t)
	dir := filepath.Join(t.TempDir(), "data")
	if err := Run(t.Context(), Config{Bind: "127.0.0.1", Port: taken, DataDir: dir}); !errors.Is(err, ErrPortTaken) {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	if err := Run(ctx, Config{Bind: "127.0.0.1", DataDir: dir, Ready: func(s Started) { shown <- s.AdminToken; cancel() }}); err != nil {
		t.Fatal(err)
	}
	if token := <-shown; !strings.HasPrefix(token, "ctx_adm_") {
		t.Errorf("shown %q", token)
	}
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	cert, key := certificate(t, "first")
	r := start(t, func(c *Config) { c.TLSCert, c.TLSKey = cert, key })
	served := func() string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Fatalf("serves %s", got)
	}
	newCert, newKey := certificate(t, "second")
	move := func(from, to string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Minute)
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	move(newCert, cert)
	time.Sleep(checkEvery + 50*time.Millisecond)
	if got := served(); got != "first" {
		t.Fatalf("serves %s while the pair is half replaced", got)
	}
	move(newKey, key)
	for deadline := time.Now().Add(20 * time.Second); served() != "second"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not served")
		}
	}
}

func TestIdleListenGetsHeartbeats(t *testing.T) {
	r := start(t, func(c *Config) { c.Heartbeat = 100 * time.Millisecond })
	c := r.project(t, "api")
	stream, err := c.Listen(t.Context(), &hubv1.ListenRequest{Types: []string{"decision"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		if i == 1 {
			publish(t, c, newEntry("a", "a learning, which it did not ask for"))
		}
		if n := len(stream.Msg().GetEntries()); n != 0 {
			t.Errorf("%d entries", n)
		}
	}
	if got := stream.Msg().GetCursor(); got != 1 {
		t.Errorf("the cursor is %d: heartbeats must move it over what does not match", got)
	}
}

func TestPlaintextToTheNetworkIsWarnedOf(t *testing.T) {
	for bind, want := range map[string]bool{"127.0.0.1": false, "localhost": false, "::1": false, "": true, "0.0.0.0": true, "10.0.0.1": true} {
		c := Config{Bind: bind}
		if c.exposed() != want {
			t.Errorf("%q: exposed %v", bind, !want)
		}
	}
}

func get(t *testing.T, r *running, token, pathAndQuery string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+pathAndQuery, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := httpClient(t, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestStreamsAsPlainJSONLines(t *testing.T) {
	r := start(t, nil)
	token := r.join(t, "api")
	c := r.projectClient(httpClient(t, true), token)
	long := strings.Repeat("long ", 100_000)
	publish(t, c, newEntry("a", "one\n"), newEntry("b", long))
	code, body := get(t, r, token, "/ctx.hub.v1.HubService/Sync?message="+url.QueryEscape(`{"after":"0"}`))
	var ids []string
	for line := range strings.Lines(body) {
		var m struct {
			Entries []struct{ ID, Content string } `json:"entries"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %.200q", err, line)
		}
		for _, e := range m.Entries {
			ids = append(ids, e.ID)
		}
	}
	if code != http.StatusOK || strings.Join(ids, " ") != "a b" {
		t.Errorf("%d, entries %v", code, ids)
	}
	for what, test := range map[string]struct {
		query string
		code  int
		says  string
	}{
		"a type with a typo": {`{"types":["decisions"]}`, http.StatusBadRequest, `unknown type \"decisions\"`},
		"not JSON":           {`{`, http.StatusBadRequest, "invalid_argument"},
		"beyond the head":    {`{"after":99}`, http.StatusOK, "out_of_range"},
	} {
		code, body := get(t, r, token, "/ctx.hub.v1.HubService/Sync?message="+url.QueryEscape(test.query))
		if code != test.code || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d %s", what, code, body)
		}
	}
	if code, body := get(t, r, "wrong", "/ctx.hub.v1.HubService/Listen"); code != http.StatusUnauthorized || !strings.Contains(body, "unauthenticated") {
		t.Errorf("a wrong token: %d %s", code, body)
	}
	if code, body := get(t, r, token, "/"); code != http.StatusNotFound || !strings.Contains(body, "ctx hub") {
		t.Errorf("the root: %d %s", code, body)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	r := start(t, nil)
	stream := grpcreflect.NewClient(httpClient(t, true), r.url, connect.WithGRPC()).NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	for _, want := range []string{"ctx.hub.v1.HubService", "ctx.hub.v1.AdminService", "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(all, " "), want) {
			t.Errorf("%s is not among %v", want, all)
		}
	}
}

// TestADeadClientIsNoticed: a client whose packets stop, without a word, must not hold its place for ever. HTTP/2
// pings notice it; here the peer accepts bytes and never answers.
func TestADeadClientIsNoticed(t *testing.T) {
	r := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The HTTP/2 preface and an empty SETTINGS frame, and then silence.
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is still open after 30 s: %v", err)
	}
}
