package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"ctxhub/server/hub"
	"ctxhub/server/store"
)

// Reasons why a hub does not start, for errors.Is. Their texts say what happened and why.
var (
	ErrBadConfig   = errors.New("bad configuration")
	ErrPortTaken   = errors.New("port already in use")
	ErrDataDir     = store.ErrDataDir
	ErrInUse       = store.ErrInUse
	ErrNewerFormat = store.ErrNewerFormat
	ErrOlderFormat = store.ErrOlderFormat
	ErrDamaged     = hub.ErrDamaged
)

// Defaults of Config.
const (
	DefaultPort                 = 9900
	DefaultHeartbeat            = 10 * time.Second
	DefaultMaxStreams           = 4096
	DefaultMaxStreamsPerProject = 64

	// maxHeartbeat keeps streams open through proxies, whose patience is 60 s or 30 s, and lets both sides notice
	// a dead peer within 30 s.
	maxHeartbeat = 20 * time.Second
)

// Config is what a hub can be told. The zero value of a field stands for its default, where there is one.
type Config struct {
	Bind    string // address to listen on; empty is all of the host's
	Port    int    // 0 lets the system choose
	DataDir string // required

	TLSCert, TLSKey string   // PEM files; both or none. They are read again when they change.
	AllowOrigins    []string // scheme://host[:port] of other sites' pages, or * for any

	Heartbeat                        time.Duration // longest silence of a stream; at most 20 s
	MaxStreams, MaxStreamsPerProject int           // Sync and Listen streams open at once
	DiskReserve                      uint64        // bytes that must stay free on the data directory's disk
	OpenMetrics                      bool          // /metrics needs no token

	Version string
	Log     *slog.Logger
	Ready   func(Started) // called once, when the hub answers
}

// Started is what a person is told when the hub is up.
type Started struct {
	URL        string // for other machines: the host's name, unless a single address was bound
	LocalURL   string // for this machine
	DataDir    string
	AdminToken string   // on the first run only
	Warnings   []string // sentences

	// Alive returns nil when the hub has answered a call on its port and its log has taken one, for a watchdog. It
	// waits as long as its context lets it.
	Alive func(context.Context) error
}

func (c Config) withDefaults() (Config, error) {
	if c.Heartbeat == 0 {
		c.Heartbeat = DefaultHeartbeat
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = DefaultMaxStreams
	}
	if c.MaxStreamsPerProject == 0 {
		c.MaxStreamsPerProject = DefaultMaxStreamsPerProject
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Ready == nil {
		c.Ready = func(Started) {}
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.DataDir == "":
		return fmt.Errorf("%w: no data directory is named", ErrBadConfig)
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("%w: the port must be 0 to 65535, not %d", ErrBadConfig, c.Port)
	case c.Heartbeat < 100*time.Millisecond || c.Heartbeat > maxHeartbeat:
		return fmt.Errorf("%w: the heartbeat must be 100ms to %s, not %s", ErrBadConfig, maxHeartbeat, c.Heartbeat)
	case c.MaxStreams < 1 || c.MaxStreamsPerProject < 1:
		return fmt.Errorf("%w: the numbers of streams must be at least 1", ErrBadConfig)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fmt.Errorf("%w: a TLS certificate and its key go together", ErrBadConfig)
	}
	for _, origin := range c.AllowOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "") {
			return fmt.Errorf("%w: an allowed origin is scheme://host[:port] or *, not %q", ErrBadConfig, origin)
		}
	}
	return nil
}

// urls returns the hub's address as other machines and as this one would write it.
func (c *Config) urls(port int, hostname string) (public, local string) {
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	build := func(host string) string {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	if c.everywhere() {
		return build(hostname), build("127.0.0.1")
	}
	return build(c.Bind), build(c.Bind)
}

func (c *Config) everywhere() bool {
	ip := net.ParseIP(c.Bind)
	return c.Bind == "" || ip != nil && ip.IsUnspecified()
}

// exposed says whether other machines can reach the port.
func (c *Config) exposed() bool {
	ip := net.ParseIP(c.Bind)
	return c.Bind != "localhost" && (ip == nil || !ip.IsLoopback())
}
