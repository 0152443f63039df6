package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"ctxhub/client"
	"ctxhub/server"
)

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
    ctx hub start --daemon --disk-reserve 1GiB --log-level debug --log-format json

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
	config.Log = c.logger(sys.err)
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
