package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server"
	"ctxhub/server/store"
)

type hubBackup struct {
	hubFlags
	File  string `arg:"" help:"The file to write; - writes to standard output."`
	Force bool   `help:"Replace the file if it is there."`
	JSON  bool   `name:"json" help:"Write JSON."`
}

func (*hubBackup) Help() string {
	return `The backup is of one moment, is checked while it is written, and holds up nobody. It is a tar file of the data directory: the log with its archive, the registry with hashes of tokens, and the hub's identity. The admin token is not in it.

Examples:

    ctx hub backup hub.tar
    ctx hub backup /mnt/backups/hub-$(date +%F).tar --force
    ctx hub backup hub.tar --hub nexus.local:9900 --token-file admin.token`
}

// backupReport is the JSON form.
type backupReport struct {
	File    string    `json:"file"`
	Bytes   uint64    `json:"bytes"`
	HubID   string    `json:"hub_id"`
	TakenAt time.Time `json:"taken_at"`
	Oldest  uint64    `json:"oldest"`
	Head    uint64    `json:"head"`
}

func (c *hubBackup) Run(ctx context.Context, sys *system) error {
	hub, err := c.dial(sys)
	if err != nil {
		return err
	}
	defer hub.Close()
	bar := newBar(sys, "backup", size)
	defer bar.clear()
	var written uint64
	progress := func(done, total uint64) {
		written = done
		bar.show(done, total)
	}
	from := func(w io.Writer) error {
		if c.Hub == "" {
			return c.copyBeside(ctx, hub, w, progress)
		}
		return hub.Backup(ctx, &hubv1.BackupRequest{}, w, progress)
	}
	if c.File == "-" {
		_, err := store.CopyBackup(sys.out, from)
		return c.explain(hub, err)
	}
	m, err := store.SaveBackup(c.File, c.Force, from)
	if err != nil {
		return c.explain(hub, err)
	}
	bar.clear()
	if c.JSON {
		return sys.json(backupReport{c.File, written, m.HubID, m.TakenAt, m.Oldest, m.Head})
	}
	sys.printf("wrote %s\n", c.File)
	sys.rows([2]string{"entries", count(m.Head+1-m.Oldest) + ", up to sequence " + count(m.Head)}, [2]string{"size", size(written)}, [2]string{"hub id", m.HubID})
	sys.next("To go back to it, with the hub stopped", c.command("ctx hub restore "+shellWord(c.File)))
	return nil
}

// copyBeside copies the log's files of a hub on this machine itself, which spares the hub the work, and takes from it
// only what belongs to them at one moment.
func (c *hubBackup) copyBeside(ctx context.Context, hub *theHub, w io.Writer, progress func(done, total uint64)) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	var small bytes.Buffer
	if err := hub.Backup(ctx, &hubv1.BackupRequest{WithoutLog: true}, &small, nil); err != nil {
		return err
	}
	snapshot, err := store.BesideHub(dir, &small)
	if err != nil {
		return err
	}
	to := &watchedWriter{ctx: ctx, w: w, progress: progress, total: uint64(max(snapshot.Size(), 0))}
	_, err = snapshot.WriteTo(to)
	return errors.Join(err, snapshot.Close())
}

// watchedWriter tells how much was written, and ends with ctx.
type watchedWriter struct {
	ctx         context.Context //nolint:containedctx // a Writer's Write takes none
	w           io.Writer
	progress    func(done, total uint64)
	done, total uint64
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.w.Write(p)
	w.done += uint64(max(n, 0))
	w.progress(w.done, w.total)
	return n, err
}

// explain knows what can be wrong with the file.
func (c *hubBackup) explain(hub *theHub, err error) error {
	if errors.Is(err, server.ErrDamaged) {
		return &advice{err: err, hint: c.command("ctx hub verify")}
	}
	if errors.Is(err, fs.ErrExist) {
		return &advice{err: err, exit: exitConflict, hint: c.command("ctx hub backup "+shellWord(c.File)) + " --force"}
	}
	if p := new(fs.PathError); errors.As(err, &p) {
		return &advice{err: err, exit: exitError, hint: "df -h " + shellWord(c.File) + "; then run the same command again"}
	}
	return hub.explain(err)
}

type hubRestore struct {
	dataDir
	File  string `arg:"" help:"A file that ctx hub backup wrote; - reads standard input."`
	Force bool   `help:"Do it although the data directory has entries. They are kept aside."`
	JSON  bool   `name:"json" help:"Write JSON."`
}

func (*hubRestore) Help() string {
	return `The hub must be stopped. The backup is checked whole before anything is touched; then the files change places in one step, and those from before are kept in before-restore-TIME in the data directory. Projects notice at their next sync, build their mirrors anew and publish again what they had published since the backup.

Examples:

    ctx hub restore hub.tar
    ctx hub restore hub.tar --force
    ctx hub restore hub.tar --data-dir /srv/hub`
}

// restoreReport is the JSON form.
type restoreReport struct {
	DataDir string    `json:"data_dir"`
	HubID   string    `json:"hub_id"`
	TakenAt time.Time `json:"taken_at"`
	Head    uint64    `json:"head"`
	Aside   string    `json:"aside"` // where the files from before are; empty if there were none
}

func (c *hubRestore) Run(sys *system) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	backup := sys.in
	bar := newBar(sys, "restore", size)
	defer bar.clear()
	if c.File != "-" {
		f, err := openNamed("backup", c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		if backup, err = watched(f, bar); err != nil {
			return err
		}
	}
	done, err := store.Restore(dir, backup, c.Force)
	if err != nil {
		return c.explain(err)
	}
	bar.clear()
	if c.JSON {
		return sys.json(restoreReport{dir, done.HubID, done.TakenAt, done.Head, done.Aside})
	}
	sys.printf("restored %s to %s\n", dir, done.TakenAt.Local().Format(time.DateTime))
	sys.rows([2]string{"entries", count(done.Head+1-done.Oldest) + ", up to sequence " + count(done.Head)},
		[2]string{"hub id", done.HubID}, [2]string{"files from before", done.Aside})
	sys.next("Next", c.command("ctx hub start --daemon"))
	return nil
}

func (c *hubRestore) explain(err error) error {
	a := &advice{err: err}
	switch {
	case errors.Is(err, store.ErrHasEntries):
		a.exit, a.hint = exitConflict, "they are kept aside with: "+c.command("ctx hub restore "+shellWord(c.File))+" --force"
	case errors.Is(err, store.ErrInUse):
		a.hint = c.command("ctx hub stop") + "; then run the same command again"
	case errors.Is(err, store.ErrUnfinished):
		a.hint = c.command("ctx hub start --daemon")
	default:
		a.hint = "nothing was changed; try another backup: " + c.command("ctx hub restore FILE")
	}
	return a
}

// watched tells a bar how far a file was read.
func watched(f *os.File, b *bar) (io.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	return &watchedFile{f: f, bar: b, total: info.Size()}, nil
}

type watchedFile struct {
	f           *os.File
	bar         *bar
	done, total int64
}

func (w *watchedFile) Read(p []byte) (int, error) {
	n, err := w.f.Read(p)
	w.done += int64(n)
	w.bar.read(w.done, w.total)
	return n, err
}
