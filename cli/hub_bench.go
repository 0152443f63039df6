package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"ctxhub/client"
)

type hubBench struct {
	hubFlags
	Live       bool          `help:"Measure the hub that runs on this machine, in place of one of the bench's own."`
	Yes        bool          `help:"Let the bench write entries into a running hub's log, where they stay."`
	Duration   time.Duration `default:"5s" placeholder:"TIME" help:"How long each measurement takes (${default})."`
	Publishers []int         `default:"1,16,64" placeholder:"N" help:"How many publish at once, one measurement for each (${default})."`
	Listeners  int           `default:"32" placeholder:"N" help:"How many listen at once (${default})."`
	EntryBytes int           `default:"400" placeholder:"N" help:"Bytes of text in each entry (${default})."`
	JSON       bool          `name:"json" help:"Write JSON."`
}

func (*hubBench) Help() string {
	return `Measures a hub of its own by default: one that serves on 127.0.0.1 with an empty data directory beside the real one, on the same disk, and that is gone afterwards. The hub in use is not touched, but it has the same disk and processors.

With --live it measures the hub that runs on this machine, with --hub another one, which needs the admin token. Entries that are published there stay in the log for ever, and reach every project that is subscribed to tasks, so that this needs --yes, and stops at a few thousand. They are those of a project of the bench's own, whose token is revoked afterwards.

The disk is measured in the same run: appending to a file and syncing it, without a hub. How large a part of that the hub reaches is the ratio. The disk of a hub elsewhere cannot be measured from here.

Examples:

    ctx hub bench
    ctx hub bench --duration 1s --publishers 64
    ctx hub bench --data-dir /srv/hub --json
    ctx hub bench --live --yes
    ctx hub bench --hub nexus.local:9900 --token-file admin.token --yes`
}

func (c *hubBench) Run(ctx context.Context, sys *system) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	b := &bench{command: c, text: benchText(c.EntryBytes)}
	if err := b.begin(ctx, sys); err != nil {
		return err
	}
	defer func() { err = firstOf(err, b.end()) }()
	r, err := b.measure(ctx, sys)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return b.explain(err)
	}
	if c.JSON {
		return sys.json(r)
	}
	r.print(sys)
	return nil
}

func (c *hubBench) check() error {
	const help = "ctx hub bench --help"
	switch {
	case c.Duration < 10*time.Millisecond || c.Duration > time.Hour:
		return usage(help, "--duration must be 10ms to 1h, not %s", c.Duration)
	case c.EntryBytes < 1 || c.EntryBytes > client.MaxContentBytes:
		return usage(help, "--entry-bytes must be 1 to %s, not %d", count(client.MaxContentBytes), c.EntryBytes)
	case c.Listeners < 1 || c.Listeners > 1000:
		return usage(help, "--listeners must be 1 to 1,000, not %d", c.Listeners)
	case c.Live && c.Hub != "":
		return usage(help, "--live is the hub on this machine, and --hub is another one")
	}
	for _, n := range c.Publishers {
		if n < 1 || n > 1000 {
			return usage(help, "--publishers must be 1 to 1,000, not %d", n)
		}
	}
	if (c.Live || c.Hub != "") && !c.Yes {
		return usage("to measure a hub of the bench's own on the same disk: ctx hub bench; otherwise add --yes",
			"up to %s entries would stay in that hub's log for ever, and reach every project that is subscribed to tasks",
			count(len(c.Publishers)*liveEntries+liveHeard))
	}
	return nil
}

// A bench of a running hub stops at so many entries.
const (
	liveEntries = 2000 // for each number of publishers
	liveHeard   = 200
)

func benchText(size int) string {
	const words = "An entry of ctx hub bench, which may be forgotten.\n"
	return strings.Repeat(words, size/len(words)+1)[:size]
}

// measure takes the disk's turn right after the hub's, as both drift.
func (b *bench) measure(ctx context.Context, sys *system) (*benchReport, error) {
	r := &benchReport{
		Hub: b.address, OwnHub: b.own(), Version: b.version, Directory: b.dir, Project: b.project,
		EntryBytes: b.command.EntryBytes, DurationSeconds: b.command.Duration.Seconds(), NoDisk: b.noDisk,
	}
	d := b.command.Duration
	for _, n := range b.command.Publishers {
		done := sys.busy("publishing, " + plural(n, "publisher", "publishers"))
		before := b.logBytes()
		p, err := b.publish(ctx, n, d)
		done()
		if err != nil {
			return nil, err
		}
		if b.noDisk == "" {
			record := max(int(b.logBytes()-before)/max(p.Entries, 1), b.command.EntryBytes)
			done = sys.busy("the disk alone, " + plural(n, "record", "records") + " for each sync")
			disk, err := measureDisk(ctx, b.dir, n, record, max(d/5, 10*time.Millisecond))
			done()
			if err != nil {
				return nil, err
			}
			p.Disk, p.Ratio = &disk, p.EntriesPerSecond/disk.EntriesPerSecond
		}
		r.Publish = append(r.Publish, p)
	}
	done := sys.busy("syncing")
	err := b.sync(ctx, d, &r.Sync)
	done()
	if err != nil {
		return nil, err
	}
	done = sys.busy("listening, " + plural(b.command.Listeners, "listener", "listeners"))
	defer done()
	return r, b.listen(ctx, b.command.Listeners, d, &r.Listen)
}

var errNothingDone = errors.New("not one call was answered in that time: choose a longer --duration")
