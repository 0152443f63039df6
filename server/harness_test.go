package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// running is a hub of its own for one test, on a port that the system chose.
type running struct {
	url, admin, dir string
	stop            func() error // drains, and returns what Run did
}

// start runs a hub on loopback until the test ends. change may be nil.
func start(t testing.TB, change func(*Config)) *running {
	t.Helper()
	config := Config{
		Bind: "127.0.0.1", DataDir: filepath.Join(t.TempDir(), "data"), Version: "test",
		Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	ready := make(chan Started, 1)
	config.Ready = func(s Started) { ready <- s }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, config) }()
	var stopped bool
	r := &running{dir: config.DataDir}
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the hub ended with: %v", err)
		}
	})
	select {
	case s := <-ready:
		r.url = s.LocalURL
	case err := <-done:
		stopped = true
		t.Fatalf("the hub did not start: %v", err)
	}
	local, err := FindLocal(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	r.admin = local.AdminToken
	return r
}

func (r *running) port(t testing.TB) int {
	t.Helper()
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// httpClient speaks one version of HTTP, over TLS without looking at the certificate's name.
func httpClient(t testing.TB, http2 bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{
		Protocols: protocols, MaxIdleConnsPerHost: 100,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// bearer puts a token on every call.
func bearer(token string) connect.ClientOption {
	return connect.WithInterceptors(bearerToken(token))
}

type bearerToken string

func (b bearerToken) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, req)
	}
}

func (b bearerToken) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (b bearerToken) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (r *running) adminClient(c *http.Client, options ...connect.ClientOption) hubv1connect.AdminServiceClient {
	return hubv1connect.NewAdminServiceClient(c, r.url, append(options, bearer(r.admin))...)
}

func (r *running) projectClient(c *http.Client, token string, options ...connect.ClientOption) hubv1connect.HubServiceClient {
	return hubv1connect.NewHubServiceClient(c, r.url, append(options, bearer(token))...)
}

// join registers a project and returns its token.
func (r *running) join(t testing.TB, name string) string {
	t.Helper()
	resp, err := r.adminClient(httpClient(t, true)).Register(t.Context(), &hubv1.RegisterRequest{Project: name})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetToken()
}

// project registers a project and returns a client with its token, over HTTP/2.
func (r *running) project(t testing.TB, name string) hubv1connect.HubServiceClient {
	t.Helper()
	return r.projectClient(httpClient(t, true), r.join(t, name))
}

func newEntry(id, content string) *hubv1.NewEntry {
	return &hubv1.NewEntry{Id: id, Type: "learning", Content: content}
}

func publish(t testing.TB, c hubv1connect.HubServiceClient, entries ...*hubv1.NewEntry) []uint64 {
	t.Helper()
	resp, err := c.Publish(t.Context(), &hubv1.PublishRequest{Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetSequences()
}

// certificate makes a self-signed one for localhost and returns its files.
func certificate(t testing.TB, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost", name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
