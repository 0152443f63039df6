package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
)

// conn keeps the first bytes that the server said, which tell what it is when it is not a hub.
type conn struct {
	net.Conn
	raw      net.Conn // below TLS: closing it never waits
	endpoint *endpoint

	known atomic.Bool // HTTP/2, or said enough
	mu    sync.Mutex
	head  []byte
}

const maxHead = 64

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.known.Load() {
		c.note(p[:n])
	}
	return n, err
}

func (c *conn) Close() error {
	c.endpoint.remove(c)
	return c.Conn.Close()
}

func (c *conn) note(said []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = append(c.head, said[:min(len(said), maxHead-len(c.head))]...)
	isHTTP2 := likeHTTP2(c.head) && len(c.head) >= 9
	c.known.Store(isHTTP2 || len(c.head) == maxHead)
	if isHTTP2 {
		c.endpoint.http2.Store(true)
	}
}

// said returns the first bytes of the server, perhaps none.
func (c *conn) said() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.head)
}

// likeHTTP2 reports whether head is, as far as it goes, a SETTINGS frame of stream 0. HTTP/2 servers send
// one first; it begins with nine bytes: length (3), type, flags, stream (4).
func likeHTTP2(head []byte) bool {
	for i, b := range head[:min(len(head), 9)] {
		switch {
		case i == 3 && b != 4, (i == 0 || i > 4) && b != 0:
			return false
		}
	}
	return true
}

// dialError says that there was no connection to send anything on.
type dialError struct{ error }

func (e *endpoint) dial(ctx context.Context) (*conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", e.address.dialTarget(ctx))
	if ctx.Err() == nil { // else nothing was learned: a request that is over may still be connecting
		e.reached.Store(err == nil)
	}
	if err != nil {
		return nil, &dialError{err}
	}
	c := &conn{Conn: raw, raw: raw, endpoint: e}
	if e.tls != nil {
		secure := tls.Client(raw, e.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, &dialError{err}
		}
		c.Conn = secure
	}
	if err := e.add(c); err != nil {
		_ = raw.Close()
		return nil, &dialError{err}
	}
	return c, nil
}

// ask greets the server as an HTTP/2 client does, on a connection of its own, and returns how it answers. A
// server that does not understand may answer and hang up so quickly that a request, still being written,
// fails before the answer is read.
func (e *endpoint) ask(ctx context.Context) []byte {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c, err := e.dial(ctx)
	if err != nil {
		return nil
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	defer stop()
	const emptySettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	if _, err := io.WriteString(c, http2.ClientPreface+emptySettings); err != nil {
		return c.said()
	}
	var answer [9]byte
	_, _ = io.ReadFull(c, answer[:]) // less is an answer, too
	return c.said()
}

// answersTLS asks a server that did not understand plaintext whether it would have understood TLS. It
// sends a greeting and nothing else, so that whom it talks to does not matter. It asks until there was an
// answer once, because a server that waits for more than the greeting makes it wait, too.
func (e *endpoint) answersTLS(ctx context.Context) bool {
	if e.notTLS.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.address.HostPort())
	if err != nil {
		return false
	}
	defer raw.Close()
	probe := tls.Client(raw, &tls.Config{ServerName: e.address.Host, InsecureSkipVerify: true}) //nolint:gosec // nothing is sent or believed
	err = probe.HandshakeContext(ctx)
	if err == nil || isAlert(err) {
		return true
	}
	e.notTLS.Store(!errors.Is(ctx.Err(), context.Canceled))
	return false
}

// isAlert reports whether the server refused a handshake in the words of TLS.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
