package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server"
)

// bench is a hub that is measured, and what there is to clean up after it.
type bench struct {
	command *hubBench
	text    string // of each entry

	address string
	config  client.Config // of the project's clients
	version string
	before  uint64 // the log's head when the bench began
	project string
	dir     string // on the hub's disk; empty if that is elsewhere
	log     string // the hub's entries.jsonl
	noDisk  string // why the disk is not measured

	admin *theHub
	stop  context.CancelFunc // of a hub of its own
	ended chan error
}

func (b *bench) own() bool { return b.stop != nil }

// begin starts a hub, or finds the one that runs, and registers a project with it. What was begun when it fails is
// ended.
func (b *bench) begin(ctx context.Context, sys *system) (err error) {
	defer func() {
		if err != nil {
			err = firstOf(err, b.end())
		}
	}()
	c := b.command
	switch {
	case c.Hub != "":
		b.noDisk = "the disk of a hub that is named with --hub cannot be measured from here"
		b.admin, err = c.dial(sys)
	case c.Live:
		if b.admin, err = c.dial(sys); err == nil {
			err = b.findPlace()
		}
	default:
		err = b.startOwn(ctx)
	}
	if err != nil {
		return err
	}
	return b.explain(b.register(ctx))
}

func (b *bench) explain(err error) error {
	if err == nil || b.admin == nil {
		return err
	}
	return b.admin.explain(err)
}

// findPlace makes the directory for measuring the disk.
func (b *bench) findPlace() error {
	data, err := b.command.path()
	if err != nil {
		return err
	}
	b.log = filepath.Join(data, "entries.jsonl")
	b.dir, err = makeBenchDir(data)
	return err
}

// startOwn serves a hub in this very process: whatever ends the bench ends the hub, too.
func (b *bench) startOwn(ctx context.Context) error {
	if err := b.findPlace(); err != nil {
		return err
	}
	data := filepath.Join(b.dir, benchData)
	b.log = filepath.Join(data, "entries.jsonl")
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready := make(chan struct{})
	b.stop, b.ended = stop, make(chan error, 1)
	go func() {
		b.ended <- server.Run(running, server.Config{
			Bind: "127.0.0.1", DataDir: data, Version: versionLine(), Log: slog.New(slog.DiscardHandler),
			MaxStreamsPerProject: b.command.Listeners + 16, Ready: func(server.Started) { close(ready) },
		})
	}()
	select {
	case <-ready:
	case err := <-b.ended:
		b.ended <- err
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	local, err := server.FindLocal(data)
	if err != nil {
		return err
	}
	b.admin, err = dialLocal(local, client.Config{})
	return err
}

func (b *bench) register(ctx context.Context) error {
	status, err := b.admin.Status(ctx)
	if err != nil {
		return err
	}
	b.before, b.version, b.address = status.GetHead(), status.GetVersion(), b.admin.address
	name := "bench-" + client.NewID()
	res, err := b.admin.Register(ctx, &hubv1.RegisterRequest{Project: name})
	if err != nil {
		return err
	}
	b.project = name
	b.config = b.admin.config
	b.config.Token = res.GetToken()
	return nil
}

// end takes everything back, whatever has happened, also an interruption.
func (b *bench) end() error {
	var errs []error
	if b.admin != nil {
		if b.project != "" && !b.own() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := b.admin.Revoke(ctx, b.project); err != nil {
				errs = append(errs, &advice{err: fmt.Errorf("revoke the bench's project: %w", err), hint: "ctx hub project revoke " + b.project})
			}
		}
		b.admin.Close()
	}
	if b.stop != nil {
		b.stop()
		if err := <-b.ended; err != nil {
			errs = append(errs, fmt.Errorf("the bench's hub: %w", err))
		}
	}
	if b.dir != "" {
		if err := os.RemoveAll(b.dir); err != nil {
			errs = append(errs, fmt.Errorf("clean up after the bench: %w", err))
		}
	}
	return errors.Join(errs...)
}

// logBytes is how long the hub's log is, where it can be seen.
func (b *bench) logBytes() int64 {
	info, err := os.Stat(b.log)
	if err != nil {
		return 0
	}
	return info.Size()
}
