package cli

import (
	"context"
	"fmt"

	"ctxhub/client"
	"ctxhub/client/project"
)

type syncMirror struct {
	JSON bool `name:"json" help:"Write JSON."`
}

func (*syncMirror) Help() string {
	return `Example:

    ctx connection sync

The mirror is made of .context/hub/decisions.md, learnings.md, conventions.md and tasks.md.`
}

type synced struct {
	New     int      `json:"new"`
	Head    uint64   `json:"head"`
	Rebuilt []string `json:"rebuilt"` // what was built anew and why
}

func (c *syncMirror) Run(ctx context.Context, sys *system) error {
	h, err := findHere()
	if err != nil {
		return err
	}
	hub, err := h.dial(client.Config{})
	if err != nil {
		return err
	}
	defer hub.Close()
	bar := newBar(sys, "sync", count[uint64])
	res, err := project.Sync(ctx, h.dir, h.conn, hub, bar.show)
	bar.clear()
	if !c.JSON {
		warnRebuilt(sys, res.Rebuilt)
	}
	if err != nil {
		return h.explain(partly(res.New, err))
	}
	if c.JSON {
		return sys.json(synced{res.New, res.Head, append([]string{}, res.Rebuilt...)})
	}
	sys.printf("%s, level with the hub at %s\n", newEntries(res.New), count(res.Head))
	return nil
}

// partly marks an error after which part of the work was done all the same.
func partly(done int, err error) error {
	if done == 0 {
		return err
	}
	return &advice{err: fmt.Errorf("%w; %s arrived before that", err, plural(done, "entry", "entries")), exit: exitPartial}
}

func newEntries(n int) string {
	if n == 0 {
		return "nothing new"
	}
	return count(n) + " new"
}

func warnRebuilt(sys *system, reasons []string) {
	for _, reason := range reasons {
		sys.warn("%s", reason)
	}
}
