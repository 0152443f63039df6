package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
	"golang.org/x/net/http2"
)

const (
	dialTimeout  = 5 * time.Second
	probeTimeout = 2 * time.Second
	// A peer that has died without a word is noticed after their sum.
	readIdleTimeout = 10 * time.Second
	pingTimeout     = 10 * time.Second
	// Requests from here on are compressed: nginx takes bodies up to 1 MiB unless told otherwise, and an
	// entry may have as much. Smaller ones would pay for nothing.
	compressFrom = 512 << 10
	// A batch of entries stays well below; whatever is larger is not a hub's.
	maxMessage = 8 << 20
)

// endpoint is one address of the hub, with its connections. Each has its own transport, because a
// transport tells connections apart by host and port alone, and not by whether they are TLS.
type endpoint struct {
	address       Address
	authorization []string
	tls           *tls.Config // nil for plaintext
	transport     http.RoundTripper
	hub           hubv1connect.HubServiceClient // for all but Publish
	publisher     hubv1connect.HubServiceClient // may compress what it sends
	admin         hubv1connect.AdminServiceClient
	last          atomic.Pointer[conn] // made last
	reached       atomic.Bool          // the last attempt to dial got through, if only to a silent TLS server

	http2  atomic.Bool // it has spoken HTTP/2 once
	notTLS atomic.Bool // it was asked in TLS, and did not understand

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

func newEndpoint(address Address, cfg Config, roots *x509.CertPool) *endpoint {
	e := &endpoint{address: address, conns: make(map[*conn]struct{})}
	if cfg.Token != "" {
		e.authorization = []string{"Bearer " + cfg.Token}
	}
	if address.TLS {
		e.tls = &tls.Config{
			ServerName: cmp.Or(cfg.ServerName, address.Host),
			RootCAs:    roots,
			NextProtos: []string{http2.NextProtoTLS},
			MinVersion: tls.VersionTLS12,
		}
	}
	e.transport = newTransport(e.dial)
	options := []connect.ClientOption{
		connect.WithGRPC(),
		connect.WithReadMaxBytes(maxMessage),
	}
	e.publisher = hubv1connect.NewHubServiceClient(e, address.String(),
		append(slices.Clone(options), connect.WithSendGzip(), connect.WithCompressMinBytes(compressFrom))...)
	// A hub that may compress its answers does so, also to a request that only says it could have been
	// compressed itself, and catching up takes twice as long by it.
	options = append(options, connect.WithAcceptCompression("gzip", nil, nil))
	e.hub = hubv1connect.NewHubServiceClient(e, address.String(), options...)
	e.admin = hubv1connect.NewAdminServiceClient(e, address.String(), options...)
	return e
}

// newTransport makes the HTTP/2 client. Its package is deprecated in favour of net/http, which by now could do
// the same: HTTP/2 with prior knowledge, and pings. It stays because it is the client this project builds on,
// and nothing outside this function knows.
//
//nolint:staticcheck // for the reason above
func newTransport(dial func(context.Context) (*conn, error)) http.RoundTripper {
	return &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err // not c: a nil *conn would not be a nil net.Conn
			}
			return c, nil
		},
		DisableCompression: true,
		ReadIdleTimeout:    readIdleTimeout,
		PingTimeout:        pingTimeout,
	}
}

// Do sends one request. Whatever does not come from a hub becomes an error that says so.
func (e *endpoint) Do(req *http.Request) (*http.Response, error) {
	if e.authorization != nil {
		req.Header["Authorization"] = e.authorization
	}
	res, err := e.transport.RoundTrip(req)
	if err != nil {
		return nil, e.roundTripFault(req.Context(), err)
	}
	if err := e.responseFault(res); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	res.Body = &body{ReadCloser: res.Body, endpoint: e}
	return res, nil
}

// body is an answer whose cut is told as such, whatever it was that cut it.
type body struct {
	io.ReadCloser
	endpoint *endpoint
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.endpoint.cut(err)
	}
	return n, err
}

// close ends all connections, also those that are in use or being made.
func (e *endpoint) close() {
	e.mu.Lock()
	e.closed = true
	conns := e.conns
	e.conns = nil
	e.mu.Unlock()
	for c := range conns {
		_ = c.raw.Close()
	}
}

func (e *endpoint) add(c *conn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.conns[c] = struct{}{}
	e.last.Store(c)
	return nil
}

func (e *endpoint) remove(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}
