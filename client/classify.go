package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
)

const noAnswer = "there is no answer from %s: the host is down, or a firewall drops the packets"

// roundTripFault explains why there was no answer at all.
func (e *endpoint) roundTripFault(ctx context.Context, err error) *connect.Error {
	if dial, ok := errors.AsType[*dialError](err); ok {
		fault := e.dialFault(dial.error)
		if f, ok := asFault(fault); ok {
			f.unsent = true
		}
		return fault
	}
	if stranger := e.stranger(ctx); stranger != nil {
		return stranger
	}
	return e.cut(err)
}

// stranger is what is wrong if there was a connection and whoever is there does not speak HTTP/2, else nil.
func (e *endpoint) stranger(ctx context.Context) *connect.Error {
	c := e.last.Load()
	if c == nil {
		return nil
	}
	head := c.said()
	if len(head) == 0 && !e.http2.Load() {
		head = e.ask(ctx)
	}
	switch {
	case likeHTTP2(head) && (len(head) > 0 || e.http2.Load()):
		return nil
	case e.tls == nil && e.answersTLS(ctx):
		return newFault(connect.CodeFailedPrecondition, ErrServerWantsTLS,
			"the server at %s wants TLS, and the address says plaintext", e.address)
	case bytes.HasPrefix(head, []byte("HTTP/1.")):
		return newFault(connect.CodeUnimplemented, ErrNotAHub,
			"the server at %s is not a hub: it speaks HTTP/1 only", e.address)
	case len(head) > 0:
		return newFault(connect.CodeUnimplemented, ErrNotAHub,
			"the server at %s is not a hub: it does not speak HTTP, it said %.32q", e.address, head)
	}
	return nil
}

// cut is a connection that ended before the answer did.
func (e *endpoint) cut(cause error) *connect.Error {
	why := ""
	if !errors.Is(cause, io.EOF) && !errors.Is(cause, io.ErrUnexpectedEOF) {
		why = fmt.Sprintf(" (%v)", cause)
	}
	return newFault(connect.CodeUnavailable, ErrConnectionLost,
		"the connection to %s was lost before the answer was complete%s", e.address, why)
}

// silent is a server that has not said anything for so long.
func (e *endpoint) silent(ctx context.Context, d time.Duration) error {
	if !e.reached.Load() {
		return newFault(connect.CodeUnavailable, ErrUnreachable, noAnswer, e.address)
	}
	if c := e.last.Load(); c != nil && len(c.said()) > 0 {
		if stranger := e.stranger(ctx); stranger != nil {
			return stranger
		}
	}
	return newFault(connect.CodeDeadlineExceeded, ErrTimeout,
		"the server at %s has accepted the connection and not answered within %s", e.address, d)
}

// dialFault explains why there was no connection.
func (e *endpoint) dialFault(err error) *connect.Error {
	var (
		record  tls.RecordHeaderError
		cert    *tls.CertificateVerificationError
		unknown *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &record):
		return e.recordFault(record)
	case errors.As(err, &cert):
		return newFault(connect.CodeFailedPrecondition, ErrCertificate, "%s", e.certificateSentence(cert.Err))
	case isAlert(err) && strings.Contains(err.Error(), "no application protocol"):
		return newFault(connect.CodeUnimplemented, ErrNotAHub,
			"the server at %s is not a hub: it does not offer HTTP/2 over TLS", e.address)
	case isAlert(err):
		return newFault(connect.CodeFailedPrecondition, ErrCertificate,
			"the server at %s refused the TLS handshake (%v)", e.address, err)
	case errors.As(err, &unknown):
		return newFault(connect.CodeUnavailable, ErrUnreachable,
			"the host %s of %s cannot be found (%s)", e.address.Host, e.address, unknown.Err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return newFault(connect.CodeUnavailable, ErrUnreachable, noAnswer, e.address)
	case isDialing(err):
		return newFault(connect.CodeUnavailable, ErrUnreachable,
			"nothing can be reached at %s (%v)", e.address, innermost(err))
	}
	return e.cut(err)
}

func (e *endpoint) recordFault(record tls.RecordHeaderError) *connect.Error {
	head := record.RecordHeader[:]
	if bytes.HasPrefix(head, []byte("HTTP/")) || head[0] == 0 && head[3] == 4 {
		return newFault(connect.CodeFailedPrecondition, ErrServerIsPlaintext,
			"the server at %s speaks plaintext, and the address says TLS", e.address)
	}
	return newFault(connect.CodeUnimplemented, ErrNotAHub,
		"the server at %s is not a hub: it speaks neither TLS nor HTTP, it said %q", e.address, head)
}

func (e *endpoint) certificateSentence(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted here", e.address)
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate of %s is for another name (%v)", e.address, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of %s is expired or not valid yet (%s)", e.address, invalid.Detail)
	}
	return fmt.Sprintf("the certificate of %s cannot be trusted (%v)", e.address, err)
}

func isDialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// innermost is the plain reason, such as "connection refused", without the address.
func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

// responseFault explains an answer that no hub gives; a hub's is always status 200 and gRPC.
func (e *endpoint) responseFault(res *http.Response) error {
	switch status := res.StatusCode; {
	case status == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc"):
		return nil
	case status == http.StatusOK:
		return newFault(connect.CodeUnimplemented, ErrNotAHub,
			"the server at %s is not a hub: it answers with %q", e.address, res.Header.Get("Content-Type"))
	case status == http.StatusRequestEntityTooLarge:
		return newFault(connect.CodeResourceExhausted, ErrTooLarge,
			"a proxy at %s refuses requests of this size (HTTP status 413)", e.address)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return newFault(connect.CodePermissionDenied, ErrNotAHub,
			"the server at %s is not a hub, or a proxy that lets nobody through (HTTP status %d)", e.address, status)
	case status == http.StatusNotImplemented:
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return newFault(connect.CodeUnavailable, ErrProxy,
			"a proxy at %s cannot reach the hub behind it (HTTP status %d)", e.address, status)
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return newFault(connect.CodeUnavailable, ErrProxy,
			"a proxy at %s answered in place of the hub (HTTP status %d)", e.address, status)
	}
	return newFault(connect.CodeUnimplemented, ErrNotAHub,
		"the server at %s is not a hub: it answers with HTTP status %d", e.address, res.StatusCode)
}

// explain turns what the protocol's machinery made of a broken answer into a cut. What the hub itself said
// stays as it is.
func (e *endpoint) explain(err error) error {
	if _, ok := asFault(err); ok || connect.IsWireError(err) {
		return err
	}
	switch connect.CodeOf(err) {
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeUnavailable, connect.CodeCanceled,
		connect.CodeDeadlineExceeded:
		return e.cut(err)
	}
	return err
}
