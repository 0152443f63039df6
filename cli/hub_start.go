package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"ctxhub/client"
	"ctxhub/server"
)

// serveFlags say how a hub serves.
type serveFlags struct {
	Port                 int           `default:"9900" placeholder:"N" help:"Port to listen on (${default}); 0 takes a free one."`
	Bind                 string        `placeholder:"ADDR" help:"Address to listen on (all of this host's)."`
	TLSCert              string        `name:"tls-cert" placeholder:"FILE" help:"Certificate to serve TLS with, in PEM form. Read again when it changes."`
	TLSKey               string        `name:"tls-key" placeholder:"FILE" help:"The certificate's key."`
	AllowOrigin          []string      `placeholder:"ORIGIN" help:"Let pages of this site call the hub (scheme://host[:port]); may be repeated."`
	Heartbeat            time.Duration `default:"10s" placeholder:"TIME" help:"Longest silence on an idle stream, at most 20s (${default})."`
	MaxStreams           int           `default:"4096" placeholder:"N" help:"Streams open at once (${default})."`
	DiskReserve          uint64        `default:"0" placeholder:"BYTES" help:"Refuse entries when fewer bytes than this are free."` // to be merged with the flag of sizes
	MaxStreamsPerProject int           `default:"64" placeholder:"N" help:"Of these, streams of one project (${default})."`
}

type hubStart struct {
	dataDir
	serveFlags
	Daemon bool `help:"Return once the hub answers, and let it run in the background."`
}

func (*hubStart) Help() string {
	return `Examples:

    ctx hub start
    ctx hub start --daemon
    ctx hub start --daemon --bind 192.168.1.20 --data-dir /srv/hub
    ctx hub start --tls-cert hub.crt --tls-key hub.key

The first run prints the admin token, which registers projects. It is kept in admin.token in the data directory. As a daemon, everything that would be printed goes to hub.log there.`
}

func (c *hubStart) Run(ctx context.Context, sys *system) error {
	parent := parentPipe(sys)
	if c.Daemon && parent == nil {
		return c.daemonize(ctx, sys)
	}
	dir, err := c.path()
	if err != nil {
		return err
	}
	systemd := notifier{socket: sys.env("NOTIFY_SOCKET"), watchdog: sys.env("WATCHDOG_USEC")}
	config := c.config(dir)
	config.Log = slog.New(slog.NewTextHandler(sys.err, nil))
	var notifyErr error
	config.Ready = func(s server.Started) {
		c.announce(sys, s)
		context.AfterFunc(ctx, func() { _ = systemd.tell("STOPPING=1") }) // only a courtesy
		notifyErr = errors.Join(systemd.tell("READY=1"), parent.ready(s))
		go systemd.keepAlive(ctx, s.Alive)
	}
	err = errors.Join(server.Run(ctx, config), notifyErr)
	if errors.Is(err, server.ErrPortTaken) {
		return &advice{err: err, hint: fmt.Sprintf("choose another port: %s", c.command(fmt.Sprintf("ctx hub start --port %d", c.Port%65535+1)))}
	}
	if errors.Is(err, server.ErrInUse) {
		return &advice{err: err, hint: fmt.Sprintf("%s; to end it: %s", c.command("ctx hub status"), c.command("ctx hub stop"))}
	}
	return err
}

func (c *hubStart) config(dir string) server.Config {
	return server.Config{
		Bind: c.Bind, Port: c.Port, DataDir: dir,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, AllowOrigins: c.AllowOrigin,
		Heartbeat: c.Heartbeat, MaxStreams: c.MaxStreams, MaxStreamsPerProject: c.MaxStreamsPerProject,
		DiskReserve: c.DiskReserve, Version: versionLine(),
	}
}

// announce tells that the hub is up, and on the first run the admin token, this once.
func (c *hubStart) announce(sys *system, s server.Started) {
	for _, warning := range s.Warnings {
		sys.warn("%s", warning)
	}
	address := typedAddress(s.URL)
	sys.printf("ctx hub is up at %s\n", address)
	token := ""
	if s.AdminToken != "" {
		token = s.AdminToken + "  (shown this once, kept in " + filepath.Join(s.DataDir, "admin.token") + ")"
	}
	sys.rows([2]string{"data", s.DataDir}, [2]string{"admin token", token})
	sys.next("Next, in each project's directory", registerCommand(address), subscribeAll)
}

const subscribeAll = "ctx connection subscribe decision learning convention task"

func registerCommand(address string) string {
	return "ctx connection register " + address + " --token -"
}

// typedAddress is a hub's URL as people type it: the scheme only where it is needed, as for plaintext on port 443.
func typedAddress(url string) string {
	bare := strings.TrimPrefix(url, "http://")
	if a, err := client.ParseAddress(bare); err != nil || a.String() != url {
		return url
	}
	return bare
}
