package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"golang.org/x/net/http2"
)

// status answers each request, over any HTTP, with a status and a page.
func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "<html>")
	})
}

// rawServer hands each connection to talk and closes it when that returns.
func rawServer(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	return l.Addr().String()
}

func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		drain(c)
	}
}

// tlsServer serves over TLS with httptest's certificate, which is for example.com and 127.0.0.1.
func tlsServer(t *testing.T, handler http.Handler, http2 bool, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = nil
	s.TLS = &tls.Config{}
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func caOf(s *httptest.Server) []byte {
	return pemOf(s.Certificate().Raw)
}

type faultCase struct {
	address string
	ca      []byte
	kind    error
	code    connect.Code
	says    string
}

func faultCases(t *testing.T) map[string]faultCase {
	t.Helper()
	dead := listen(t)
	_ = dead.Close()
	http1 := httptest.NewServer(status(200))
	t.Cleanup(http1.Close)
	hub := &fakeHub{}
	plainHub := hub.serve(t)
	secureHub := tlsServer(t, hub.handler(), true, nil)
	secureWeb := tlsServer(t, status(404), true, nil)
	secureHTTP1 := tlsServer(t, status(200), false, nil)
	expired := tlsServer(t, hub.handler(), true, func(c *tls.Config) { c.Certificates = []tls.Certificate{expiredCertificate(t)} })
	picky := tlsServer(t, hub.handler(), true, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert; c.MaxVersion = tls.VersionTLS12 })
	secure := func(s *httptest.Server) string { return "https://" + s.Listener.Addr().String() }
	bare := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	proxy := func(code int) string { return serveOn(t, listen(t), status(code)) }
	return map[string]faultCase{
		"nothing listens":         {dead.Addr().String(), nil, ErrUnreachable, connect.CodeUnavailable, "refused"},
		"no such host":            {"no-such-host.invalid", nil, ErrUnreachable, connect.CodeUnavailable, "cannot be found"},
		"HTTP/1 server":           {bare(http1), nil, ErrNotAHub, connect.CodeUnimplemented, "HTTP/1"},
		"HTTP/1 server over TLS":  {secure(secureHTTP1), caOf(secureHTTP1), ErrNotAHub, connect.CodeUnimplemented, "not a hub"},
		"HTTP/2 404":              {proxy(404), nil, ErrNotAHub, connect.CodeUnimplemented, "404"},
		"HTTP/2 page":             {proxy(200), nil, ErrNotAHub, connect.CodeUnimplemented, "text/html"},
		"HTTP/2 redirect":         {proxy(302), nil, ErrNotAHub, connect.CodeUnimplemented, "302"},
		"HTTP/2 login":            {proxy(401), nil, ErrNotAHub, connect.CodePermissionDenied, "401"},
		"HTTP/2 404 over TLS":     {secure(secureWeb), caOf(secureWeb), ErrNotAHub, connect.CodeUnimplemented, "404"},
		"accepts, never answers":  {rawServer(t, drain), nil, ErrTimeout, connect.CodeDeadlineExceeded, "not answered"},
		"the same, TLS":           {"https://" + rawServer(t, drain), nil, ErrTimeout, connect.CodeDeadlineExceeded, "not answered"},
		"accepts and hangs up":    {rawServer(t, func(net.Conn) {}), nil, ErrConnectionLost, connect.CodeUnavailable, "lost"},
		"the same with TLS":       {"https://" + rawServer(t, func(net.Conn) {}), nil, ErrConnectionLost, connect.CodeUnavailable, "lost"},
		"garbage":                 {rawServer(t, says("SSH-2.0-OpenSSH_9.9\r\n")), nil, ErrNotAHub, connect.CodeUnimplemented, "SSH-2.0"},
		"a little garbage":        {rawServer(t, says("hi\n")), nil, ErrNotAHub, connect.CodeUnimplemented, "hi"},
		"garbage for TLS":         {"https://" + rawServer(t, says("SSH-2.0-OpenSSH_9.9\r\n")), nil, ErrNotAHub, connect.CodeUnimplemented, "SSH-2"},
		"server wants TLS":        {bare(secureHub), nil, ErrServerWantsTLS, connect.CodeFailedPrecondition, "wants TLS"},
		"server wants a client":   {bare(picky), nil, ErrServerWantsTLS, connect.CodeFailedPrecondition, "wants TLS"},
		"client certificate":      {secure(picky), caOf(picky), ErrCertificate, connect.CodeFailedPrecondition, "handshake"},
		"server is plaintext":     {"https://" + plainHub, nil, ErrServerIsPlaintext, connect.CodeFailedPrecondition, "plaintext"},
		"plaintext, HTTP/2 first": {"https://" + rawServer(t, says("\x00\x00\x00\x04\x00\x00\x00\x00\x00")), nil, ErrServerIsPlaintext, connect.CodeFailedPrecondition, "plaintext"},
		"unknown authority":       {secure(secureHub), nil, ErrCertificate, connect.CodeFailedPrecondition, "authority"},
		"another name":            {strings.Replace(secure(secureHub), "127.0.0.1", "localhost", 1), caOf(secureHub), ErrCertificate, connect.CodeFailedPrecondition, "another name"},
		"expired":                 {secure(expired), pemOf(expired.TLS.Certificates[0].Certificate[0]), ErrCertificate, connect.CodeFailedPrecondition, "expired"},
		"proxy 413":               {proxy(413), nil, ErrTooLarge, connect.CodeResourceExhausted, "413"},
		"proxy 429":               {proxy(429), nil, ErrProxy, connect.CodeUnavailable, "429"},
		"proxy 500":               {proxy(500), nil, ErrProxy, connect.CodeUnavailable, "500"},
		"proxy 502":               {proxy(502), nil, ErrProxy, connect.CodeUnavailable, "behind it"},
		"proxy 503":               {proxy(503), nil, ErrProxy, connect.CodeUnavailable, "behind it"},
		"proxy 504":               {proxy(504), nil, ErrProxy, connect.CodeUnavailable, "behind it"},
		"proxy 501":               {proxy(501), nil, ErrNotAHub, connect.CodeUnimplemented, "501"},
	}
}

func TestFaultsAreTold(t *testing.T) {
	for name, want := range faultCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 30 * time.Second
			if errors.Is(want.kind, ErrTimeout) || name == "a little garbage" {
				timeout = 500 * time.Millisecond
			}
			c := newClient(t, Config{Addresses: []string{want.address}, CACert: want.ca, Timeout: timeout, RetryFor: -1})
			address, _ := ParseAddress(want.address)
			_, err := c.Status(t.Context())
			wantFault(t, err, want, address.HostPort())
			_, err = c.Publish(t.Context(), entry("x"))
			wantFault(t, err, want, address.HostPort())
			for _, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
				wantFault(t, err, want, address.HostPort())
			}
		})
	}
}

func wantFault(t *testing.T, err error, want faultCase, hostPort string) {
	t.Helper()
	var wire *connect.Error
	if !errors.Is(err, want.kind) || !errors.As(err, &wire) || wire.Code() != want.code {
		t.Fatalf("got %v (%v), want %v, %v", err, connect.CodeOf(err), want.code, want.kind)
	}
	if text := wire.Message(); !strings.Contains(text, want.says) || !strings.Contains(text, hostPort) || strings.Contains(text, "\n") {
		t.Errorf("it says %q", text)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("%v may be taken for something else", err)
	}
}

func TestTLSWithAPrivateAuthority(t *testing.T) {
	hub := &fakeHub{}
	hub.fill(9)
	s := tlsServer(t, hub.handler(), true, nil)
	c := newClient(t, Config{Addresses: []string{"https://" + s.Listener.Addr().String()}, CACert: caOf(s)})
	var seen uint64
	for m, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		inOrder(t, m.GetEntries(), &seen)
	}
	if got, err := c.Publish(t.Context(), entry("x")); err != nil || got[0] != 10 || seen != 9 {
		t.Errorf("got %v, %v after %d", got, err, seen)
	}
}

func TestProxyLimitOnSizeSparesSmallCalls(t *testing.T) {
	g := newGate()
	hub := &fakeHub{refuse: func(req *hubv1.PublishRequest) error { return g.hold(req) }}
	next := hub.handler()
	const limit = 300 << 10
	addr := serveOn(t, listen(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	}))
	c := newClient(t, Config{Addresses: []string{addr}})
	results := make(chan error)
	for i := range maxSenders {
		go func() {
			_, err := c.Publish(context.Background(), entry(strings.Repeat("x", i+1)))
			results <- err
		}()
		<-g.came
	}
	for range 4 {
		go func() {
			_, err := c.Publish(t.Context(), entry(strings.Repeat("x", 100<<10)))
			results <- err
		}()
	}
	waitQueued(c, 4)
	close(g.open)
	for range maxSenders + 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	_, err := c.Publish(t.Context(), entry(strings.Repeat("x", limit)))
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestAnswerCutShortIsALostConnection(t *testing.T) {
	for name, cut := range map[string]http.HandlerFunc{
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"headers, then reset": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"half a message": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write([]byte{0, 0, 0, 0, 9, 1})
		},
		"no trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Config{Addresses: []string{serveOn(t, listen(t), cut)}, RetryFor: -1})
			_, err := c.Status(t.Context())
			if !errors.Is(err, ErrConnectionLost) || connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("got %v", err)
			}
			for _, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
				if !errors.Is(err, ErrConnectionLost) {
					t.Errorf("sync: got %v", err)
				}
			}
		})
	}
}

func TestUnansweredDialIsUnreachable(t *testing.T) {
	c := newClient(t, Config{Addresses: []string{"nexus"}, RetryFor: -1})
	fault := c.endpoints[0].dialFault(&net.OpError{Op: "dial", Err: timeoutError{}})
	if !errors.Is(fault, ErrUnreachable) || !strings.Contains(fault.Error(), "firewall") {
		t.Errorf("got %v", fault)
	}
	if silent := c.endpoints[0].silent(t.Context(), time.Second); !errors.Is(silent, ErrUnreachable) {
		t.Errorf("an attempt that ends while it dials: %v", silent)
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestDeadPeerIsNoticed(t *testing.T) {
	addr := rawServer(t, says("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // and never answers a ping
	c := newClient(t, Config{Addresses: []string{addr}, Timeout: time.Hour, RetryFor: -1})
	//nolint:staticcheck // as in newTransport
	if transport, ok := c.endpoints[0].transport.(*http2.Transport); ok {
		transport.ReadIdleTimeout, transport.PingTimeout = 10*time.Millisecond, 10*time.Millisecond
	}
	for _, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if !errors.Is(err, ErrConnectionLost) {
			t.Errorf("got %v", err)
		}
	}
}
