package cli

import (
	"context"
	"errors"
	"strings"

	"ctxhub/client"
	"ctxhub/client/project"
)

type listen struct {
	SkipMissing bool `help:"Go on without entries that were taken out of the hub's archive."`
	JSON        bool `name:"json" help:"Write a JSON object on a line for each event: entries, level, behind, rebuilt, notice, lost, back."`
}

func (*listen) Help() string {
	return `Brings the mirror to the hub's head, then writes each entry as it is published, until Ctrl-C. Reconnects by itself.

Examples:

    ctx connection listen
    ctx connection listen --json`
}

func (c *listen) Run(ctx context.Context, sys *system) error {
	h, err := findHere()
	if err != nil {
		return err
	}
	state, err := h.dir.State()
	if err != nil {
		return err
	}
	e := &ear{sys: sys, json: c.JSON, here: h, mirrors: state.Mirrors}
	hub, err := h.dial(client.Config{OnRetry: e.retry, OnRecover: e.back})
	if err != nil {
		return err
	}
	defer hub.Close()
	if !c.JSON && len(h.conn.Types) > 0 {
		sys.printf("listening to %s for %s (Ctrl-C ends it)\n", h.conn.HubAddr, strings.Join(h.conn.Types, ", "))
	}
	if err := project.Listen(ctx, h.dir, h.conn, hub, project.Options{SkipMissing: c.SkipMissing}, e.heard); err != nil {
		return h.explain(skippable("listen", err))
	}
	return errors.Join(e.err, errEnded)
}
