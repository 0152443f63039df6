package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"ctxhub/server/metrics"
	"ctxhub/server/rpc"
	"ctxhub/server/store"
)

// drainTime is how long calls in flight may take when the hub goes down.
const drainTime = 5 * time.Second

// Run serves a hub until ctx is done, then drains: streams end at once with unavailable, calls in flight finish
// (for 5 s at most), and what was acknowledged is on disk already. It returns nil after that.
func Run(ctx context.Context, config Config) (err error) {
	c, err := config.withDefaults()
	if err != nil {
		return err
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	certificates, err := loadCertificates(c.TLSCert, c.TLSKey)
	if err != nil {
		return err
	}
	// The data directory comes before the port: a second hub on it should hear just that.
	seen := metrics.New(c.Version)
	data, err := store.Open(c.DataDir, c.storeOptions(seen))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	listener, err := listen(ctx, &c)
	if err != nil {
		return err
	}
	// The token is made last, since it is shown only once: by a hub that runs.
	token, fresh, err := data.AdminToken()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	draining := make(chan struct{})
	server := newHTTPServer(rpc.NewHandler(rpc.Options{
		Store: data, Writer: data, AdminToken: token, Version: c.Version, Started: time.Now(),
		Heartbeat: c.Heartbeat, MaxStreams: c.MaxStreams, MaxStreamsPerProject: c.MaxStreamsPerProject,
		DiskReserve: c.DiskReserve, AllowOrigins: c.AllowOrigins, OpenMetrics: c.OpenMetrics,
		Draining: draining, Metrics: seen, Log: c.Log,
	}), c.Log)
	started, err := c.started(listener, data.Notes)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if fresh {
		started.AdminToken = token
	}
	if certificates != nil {
		listener = tls.NewListener(listener, certificates.config())
	}
	// From here on connections are queued by the kernel, and answered as soon as Serve runs.
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer func() { err = errors.Join(err, drain(server, draining)) }()
	forget, late, err := announce(c.DataDir, started.LocalURL, c.TLSCert, c.TLSKey)
	if err != nil {
		return err
	}
	started.Warnings = append(started.Warnings, late...)
	defer func() { err = errors.Join(err, forget()) }()
	started.Alive = func(ctx context.Context) error { return errors.Join(answers(ctx, started.LocalURL), data.Alive(ctx)) }
	c.Ready(started)
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		return nil
	}
}

func (c *Config) storeOptions(seen *metrics.Metrics) store.Options {
	return store.Options{Reserve: c.DiskReserve, OnCommit: func(g store.Commit) { seen.Committed(g.Entries, g.Sync) }}
}

func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:   handler,
		Protocols: protocols,
		// No WriteTimeout and no ReadTimeout: they would end every stream.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 1000, // of one connection: a proxy may bring many clients on one
			SendPingTimeout:      10 * time.Second,
			PingTimeout:          10 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// drain goes from the outside in, so that no one is left waiting for something that has stopped.
func drain(server *http.Server, draining chan struct{}) error {
	close(draining)
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return server.Close()
}

func listen(ctx context.Context, c *Config) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         giveUpOnDeadPeers,
	}
	address := net.JoinHostPort(c.Bind, strconv.Itoa(c.Port))
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: something else listens on %s", ErrPortTaken, address)
	case err != nil:
		return nil, fmt.Errorf("%w: cannot listen on %s: %w", ErrBadConfig, address, err)
	}
	return l, nil
}

func (c *Config) started(l net.Listener, notes []string) (Started, error) {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return Started{}, fmt.Errorf("%w: %s is not a TCP address", ErrBadConfig, l.Addr())
	}
	hostname, err := os.Hostname()
	if err != nil {
		return Started{}, err
	}
	s := Started{DataDir: c.DataDir, Warnings: notes}
	s.URL, s.LocalURL = c.urls(tcp.Port, hostname)
	if c.TLSCert == "" && c.exposed() {
		s.Warnings = append(s.Warnings, "this hub speaks plaintext to the network: keep it inside a trusted LAN, or give it --tls-cert and --tls-key, or bind it to 127.0.0.1 behind a TLS proxy (docs/multi-machine.md)")
	}
	return s, nil
}
