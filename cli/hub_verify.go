package cli

import (
	"errors"
	"fmt"

	"ctxhub/server/store"
)

type hubVerify struct {
	dataDir
	JSON bool `name:"json" help:"Write JSON."`
}

func (*hubVerify) Help() string {
	return `Reads the log with its archive, the registry, meta.json and the admin token, and names whatever is not what was written: file, line, byte, and which entries it costs. Changes nothing, and works beside a running hub. Exits with 1 if it finds something.

Examples:

    ctx hub verify
    ctx hub verify --json --data-dir /srv/hub`
}

func (c *hubVerify) Run(sys *system) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	bar := newBar(sys, "verify", size)
	defer bar.clear()
	report, err := store.Verify(dir, bar.read)
	bar.clear()
	if err != nil {
		return c.explain(err)
	}
	if c.JSON {
		err = sys.json(report)
	} else {
		printFound(sys, dir, report)
	}
	if n := len(report.Problems); err == nil && n > 0 {
		err = &advice{err: fmt.Errorf("%s: %s", dir, plural(n, "problem", "problems")), hint: "put the files back from a backup, or see what can be kept: " + c.command("ctx hub repair --dry-run")}
	}
	return err
}

// explain knows what the errors of looking at a data directory mean.
func (d dataDir) explain(err error) error {
	switch {
	case errors.Is(err, store.ErrOlderFormat):
		return &advice{err: err, hint: d.command("ctx hub start --daemon")}
	case errors.Is(err, store.ErrInUse):
		return &advice{err: err, hint: d.command("ctx hub stop") + "; then run the same command again"}
	case errors.Is(err, store.ErrDataDir):
		return &advice{err: err, exit: exitNotFound, hint: "name the hub's data directory with --data-dir"}
	}
	return err
}

func printFound(sys *system, dir string, r *store.Report) {
	sys.printf("%s\n", dir)
	sys.rows(
		[2]string{"entries", fmt.Sprintf("%s, sequences %s to %s", count(r.Entries), count(r.Oldest), count(r.Head))},
		[2]string{"log", size(uint64(max(r.Bytes, 0))) + " in " + plural(r.Files, "file", "files")},
		[2]string{"projects", count(r.Projects)},
		[2]string{"hub id", r.HubID},
	)
	for _, note := range r.Notes {
		sys.printf("note: %s\n", oneLine(note))
	}
	for _, p := range r.Problems {
		sys.printf("problem: %s\n", oneLine(p.String()))
	}
	if len(r.Problems) == 0 {
		sys.printf("all of it is what was written\n")
	}
}

type hubRepair struct {
	dataDir
	Quarantine bool `help:"Move what is damaged aside and keep the rest."`
	DryRun     bool `help:"Show what that would do, and change nothing."`
	JSON       bool `name:"json" help:"Write JSON."`
}

func (*hubRepair) Help() string {
	return `A backup is better than a repair. The hub must be stopped. What is damaged is left out, all that can still be read is kept, and the files from before are kept whole in before-repair-TIME in the data directory, the damaged parts beside them. Entries behind the damage are numbered anew; projects notice at their next sync, build their mirrors anew and publish again those of their own entries that were lost.

Examples:

    ctx hub repair --dry-run
    ctx hub repair --quarantine`
}

// repairReport is the JSON form.
type repairReport struct {
	*store.Report        // what was found
	Kept          uint64 `json:"kept"`  // entries that the log has now
	Aside         string `json:"aside"` // where the files from before are; empty if nothing was changed
}

func (c *hubRepair) Run(sys *system) error {
	if c.DryRun == c.Quarantine {
		return usage(c.command("ctx hub repair --dry-run"), "say either --dry-run or --quarantine")
	}
	dir, err := c.path()
	if err != nil {
		return err
	}
	bar := newBar(sys, "repair", size)
	defer bar.clear()
	done := &store.Repaired{}
	if c.DryRun {
		var report *store.Report
		if report, err = store.Verify(dir, bar.read); err == nil {
			done.Report, done.Kept = *report, report.Entries
		}
	} else {
		done, err = store.Repair(dir, bar.read)
	}
	bar.clear()
	if err != nil {
		return c.explain(err)
	}
	if c.JSON {
		return sys.json(repairReport{&done.Report, done.Kept, done.Aside})
	}
	printFound(sys, dir, &done.Report)
	c.conclude(sys, done)
	return nil
}

func (c *hubRepair) conclude(sys *system, done *store.Repaired) {
	switch {
	case len(done.Problems) == 0:
		sys.printf("nothing is to be repaired\n")
	case c.DryRun:
		sys.printf("a repair would keep %s, and all files from before aside\n", plural(done.Kept, "entry", "entries"))
		sys.next("To do it", c.command("ctx hub repair --quarantine"))
	default:
		sys.printf("kept %s; the files from before are in %s\n", plural(done.Kept, "entry", "entries"), done.Aside)
		sys.next("Next", c.command("ctx hub start --daemon"))
	}
}
