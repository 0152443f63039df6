package client

import (
	"context"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

const (
	defaultUnaryTimeout  = 10 * time.Second
	defaultStreamTimeout = 25 * time.Second // a hub sends something at least every 20 s
	defaultRetryFor      = 3 * time.Second
)

// Config says which hub to talk to, and how patiently.
type Config struct {
	// Addresses of one hub, as ParseAddress reads them. The first is preferred, the others are for failover.
	Addresses []string
	// Token is the bearer token: a project's, or the admin's.
	Token string
	// CACert is a private authority in PEM. With nil the system's authorities are trusted.
	CACert []byte
	// ServerName is the name that the hub's certificate must be for; empty is the address's own.
	ServerName string
	// Timeout bounds one attempt of a call (0: 10 s) and the silence of a stream (0: 25 s).
	Timeout time.Duration
	// RetryFor is for how long a call is tried again, counted from its start; a Sync counts from its last
	// message. Each address is tried once in any case. 0 means 3 s; a negative value means one attempt
	// only. Listen ignores it and goes on for as long as its context lives.
	RetryFor time.Duration
	// OnRetry, if set, is told before each further attempt why there is one and how long it waits. Calls
	// at once may call it at once.
	OnRetry func(err error, wait time.Duration)
	// OnRecover, if set, is told when a Listen that was tried again has a stream again.
	OnRecover func()
}

// Client is a connection to one hub. It is safe for concurrent use.
type Client struct {
	endpoints     []*endpoint
	current       atomic.Int64 // index of the endpoint in use
	unaryTimeout  time.Duration
	streamTimeout time.Duration
	retryFor      time.Duration
	pace          pace
	onRetry       func(err error, wait time.Duration)
	onRecover     func()

	ctx   context.Context // ends with Close
	close context.CancelCauseFunc
	share share
}

// New makes a client. It does not connect; the first call does. A bad address is an *AddressError.
func New(cfg Config) (*Client, error) {
	if len(cfg.Addresses) == 0 {
		return nil, &AddressError{Reason: "none is given"}
	}
	if err := checkToken(cfg.Token); err != nil {
		return nil, err
	}
	var roots *x509.CertPool // nil: the system's
	if cfg.CACert != nil {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(cfg.CACert) {
			return nil, errors.New("the CA certificate has no certificate in PEM form in it")
		}
	}
	c := &Client{
		unaryTimeout:  orDefault(cfg.Timeout, defaultUnaryTimeout),
		streamTimeout: orDefault(cfg.Timeout, defaultStreamTimeout),
		retryFor:      orDefault(cfg.RetryFor, defaultRetryFor),
		pace:          pace{first: 100 * time.Millisecond, max: 5 * time.Second},
		onRetry:       cfg.OnRetry,
		onRecover:     cfg.OnRecover,
	}
	if c.onRetry == nil {
		c.onRetry = func(error, time.Duration) {}
	}
	if c.onRecover == nil {
		c.onRecover = func() {}
	}
	seen := make(map[Address]bool)
	for _, text := range cfg.Addresses {
		address, err := ParseAddress(text)
		if err != nil {
			return nil, err
		}
		if !seen[address] {
			seen[address] = true
			c.endpoints = append(c.endpoints, newEndpoint(address, cfg, roots))
		}
	}
	c.ctx, c.close = context.WithCancelCause(context.Background())
	return c, nil
}

// Close ends every call and stream and closes all connections. Calls end with ErrClosed, also later ones.
func (c *Client) Close() {
	c.share.close()
	c.close(ErrClosed)
	c.share.senders.Wait()
	for _, e := range c.endpoints {
		e.close()
	}
}

// Status describes the hub.
func (c *Client) Status(ctx context.Context) (*hubv1.StatusResponse, error) {
	return call(ctx, c, anyError, func(ctx context.Context, e *endpoint) (*hubv1.StatusResponse, error) {
		return e.hub.Status(ctx, &hubv1.StatusRequest{})
	})
}

// Register makes a project and its token; the client's token is the admin's. It is tried again only when
// no hub can have seen it: a token that was made and then lost on the way could not be had again.
func (c *Client) Register(ctx context.Context, req *hubv1.RegisterRequest) (*hubv1.RegisterResponse, error) {
	return call(ctx, c, unsent, func(ctx context.Context, e *endpoint) (*hubv1.RegisterResponse, error) {
		return e.admin.Register(ctx, req)
	})
}

// ListProjects lists all projects; the client's token is the admin's.
func (c *Client) ListProjects(ctx context.Context) ([]*hubv1.Project, error) {
	res, err := call(ctx, c, anyError, func(ctx context.Context, e *endpoint) (*hubv1.ListProjectsResponse, error) {
		return e.admin.ListProjects(ctx, &hubv1.ListProjectsRequest{})
	})
	return res.GetProjects(), err
}

// Revoke makes a project's token worthless; the client's token is the admin's.
func (c *Client) Revoke(ctx context.Context, project string) error {
	_, err := call(ctx, c, anyError, func(ctx context.Context, e *endpoint) (*hubv1.RevokeResponse, error) {
		return e.admin.Revoke(ctx, &hubv1.RevokeRequest{Project: project})
	})
	return err
}

// join makes a context that ends with ctx and with the client.
func (c *Client) join(ctx context.Context) (context.Context, func()) {
	joined, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
	return joined, func() {
		stop()
		cancel(nil)
	}
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// checkToken refuses what cannot stand in a header, without showing it.
func checkToken(token string) error {
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return errors.New("the token has spaces, line ends or other characters that no token has")
		}
	}
	return nil
}
