package cli

import (
	"context"
	"time"

	"ctxhub/server"
)

// stopPatience is more than a hub takes to drain.
const stopPatience = 30 * time.Second

type hubStop struct {
	dataDir
}

func (*hubStop) Help() string {
	return `Calls in flight finish, streams end and reconnect when the hub is back. Returns when the hub is gone.

Examples:

    ctx hub stop
    ctx hub stop --data-dir /srv/hub`
}

func (c *hubStop) Run(ctx context.Context, sys *system) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := server.Stop(ctx, dir); err != nil {
		return c.notRunning(err)
	}
	sys.printf("ctx hub has stopped\n")
	return nil
}
