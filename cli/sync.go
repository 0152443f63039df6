package cli

import (
	"context"
	"fmt"

	"ctxhub/client"
	"ctxhub/client/project"
)

type syncMirror struct {
	SkipMissing bool `help:"Go on without entries that were taken out of the hub's archive."`
	JSON        bool `name:"json" help:"Write JSON."`
}

func (*syncMirror) Help() string {
	return `Examples:

    ctx connection sync
    ctx connection sync --skip-missing

Own entries that a restored hub has lost are published to it again. The mirror is made of .context/hub/decisions.md, learnings.md, conventions.md and tasks.md.`
}

type synced struct {
	New     int      `json:"new"`
	Head    uint64   `json:"head"`
	Rebuilt []string `json:"rebuilt"` // what was built anew and why

	Republished int      `json:"republished,omitempty"` // own entries that the hub had lost
	Skipped     uint64   `json:"skipped,omitempty"`     // entries up to here are no longer on the hub
	Told        []string `json:"told,omitempty"`        // what else there is to know, a sentence each
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
	options := project.Options{SkipMissing: c.SkipMissing}
	if sys.errTerm {
		options.Progress = bar.show
	}
	res, err := project.Sync(ctx, h.dir, h.conn, hub, options)
	bar.clear()
	if !c.JSON {
		warnAll(sys, res.Rebuilt)
		warnAll(sys, res.Told)
	}
	if err != nil {
		return h.explain(skippable("sync", partly(res.New, err)))
	}
	if c.JSON {
		return sys.json(synced{res.New, res.Head, append([]string{}, res.Rebuilt...), res.Republished, res.Skipped, res.Told})
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

// skippable tells the way on where the hub no longer has the entries that come next.
func skippable(command string, err error) error {
	if !isMissing(err) {
		return err
	}
	return &advice{err: err, hint: "have the archive put back on the hub's host, or go on without it: ctx connection " + command + " --skip-missing"}
}

func warnAll(sys *system, sentences []string) {
	for _, sentence := range sentences {
		sys.warn("%s", sentence)
	}
}
