package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"ctxhub/server"
	"ctxhub/server/store"
)

func (h *host) lookAtDir(context.Context) finding {
	info, err := os.Stat(h.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return wrong(h.command.command("ctx hub start --daemon"), "%s does not exist: no hub was ever started on it", h.dir)
	case err != nil:
		return h.cannotRead(err)
	case !info.IsDir():
		return wrong("ctx hub doctor --data-dir DIRECTORY", "%s is not a directory", h.dir)
	}
	if h.names, err = os.ReadDir(h.dir); err != nil {
		return h.cannotRead(err)
	}
	if !h.has("entries.jsonl") {
		return wrong(h.command.command("ctx hub start --daemon"), "%s has no log in it: no hub was ever started on it", h.dir)
	}
	return fine("%s", h.dir)
}

func (h *host) cannotRead(err error) finding {
	return wrong("as the hub's user, or: "+h.command.command("sudo ctx hub doctor"), "%s", sentence(err))
}

func (h *host) lookAtModes(context.Context) finding {
	if runtime.GOOS == "windows" {
		return unseen("Windows keeps others out by access lists")
	}
	var open []string
	look := func(name string, info fs.FileInfo, err error) {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			open = append(open, fmt.Sprintf("%s (%04o)", name, info.Mode().Perm()))
		}
	}
	info, err := os.Stat(h.dir)
	look("the directory", info, err)
	for _, n := range h.names {
		info, err := n.Info()
		look(n.Name(), info, err)
	}
	if len(open) > 0 {
		return wrong("chmod -R go-rwx "+shellWord(h.dir), "other users of this machine have rights to %s", some(open))
	}
	return fine("closed to other users")
}

// some names the first few.
func some(names []string) string {
	const enough = 3
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:enough], ", ") + fmt.Sprintf(" and %d more", len(names)-enough)
}

// lookAtOwner finds what somebody left who once started the hub as another user, most likely as root.
func (h *host) lookAtOwner(context.Context) finding {
	info, err := os.Stat(h.dir)
	if err != nil {
		return h.cannotRead(err)
	}
	owner, ok := ownerOf(info)
	if !ok {
		return unseen("this system does not tell")
	}
	var foreign []string
	for _, n := range h.names {
		if info, err := n.Info(); err == nil {
			if other, _ := ownerOf(info); other != owner {
				foreign = append(foreign, n.Name()+" ("+other+")")
			}
		}
	}
	if len(foreign) > 0 {
		return wrong("sudo chown -R "+owner+" "+shellWord(h.dir), "the directory is %s's, but not %s", owner, some(foreign))
	}
	return fine("all of it is %s's", owner)
}

// What is said of file systems, by the names that Linux has for them.
var (
	networkFS = []string{"nfs", "cifs", "smb2", "smb", "9p", "afs", "ceph", "fuse", "v9fs", "ncp", "coda"}
	memoryFS  = []string{"tmpfs", "ramfs"}
)

func (h *host) lookAtFileSystem(context.Context) finding {
	facts, err := diskOf(h.dir)
	if err != nil {
		return unseen("%s", sentence(err))
	}
	return judgeFileSystem(facts.kind)
}

func judgeFileSystem(kind string) finding {
	const move = "stop the hub, copy the data directory to a local disk, then: ctx hub start --data-dir DIRECTORY"
	switch {
	case slices.Contains(memoryFS, kind):
		return doubt(move, "%s: all entries are gone when the machine is switched off", kind)
	case slices.Contains(networkFS, kind):
		return doubt(move, "%s: locks and syncs may not do there what a hub relies on", kind)
	case kind == "":
		return unseen("a file system that is not known here")
	}
	return fine("%s", kind)
}

// disk is what a file system tells of itself.
type disk struct {
	kind               string // empty if it is not known
	free               uint64 // bytes for users who are not root
	inodes, freeInodes uint64 // 0 where there is no limit on them
}

func (h *host) lookAtSpace(context.Context) finding {
	facts, err := diskOf(h.dir)
	if err != nil {
		if h.status.GetDiskFreeBytes() == 0 {
			return unseen("%s", sentence(err))
		}
		facts.free = h.status.GetDiskFreeBytes()
	}
	return judgeSpace(facts, h.status.GetDiskReserveBytes())
}

func judgeSpace(d disk, reserve uint64) finding {
	const (
		scarce = 256 << 20 // bytes
		few    = 1000      // inodes
		next   = "make room; what needs it: du -xh --max-depth=2 / | sort -h | tail"
	)
	left := size(d.free) + " free"
	if reserve > 0 {
		left += ", of which " + size(reserve) + " are the hub's reserve"
	}
	switch {
	case d.free <= reserve:
		return wrong(next, "%s: no entries are taken", left)
	case d.inodes > 0 && d.freeInodes == 0:
		return wrong("find what has so many files: du -x --inodes / | sort -n | tail", "%s, but not one inode: no file can be made", left)
	case d.free < max(2*reserve, scarce):
		return doubt(next, "%s", left)
	case d.inodes > 0 && d.freeInodes < few:
		return doubt("find what has so many files: du -x --inodes / | sort -n | tail", "%s, but only %s inodes", left, count(d.freeInodes))
	}
	return fine("%s", left)
}

func (h *host) lookAtToken(context.Context) finding {
	_, err := store.ReadAdminToken(h.dir)
	again := h.command.command("ctx hub stop") + "; " + h.command.command("ctx hub start --daemon")
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unseen("%s", sentence(err))
	case errors.Is(err, fs.ErrNotExist):
		return wrong("make a new one: "+again, "admin.token is gone: nobody can register or revoke a project")
	case err != nil:
		return wrong("mv "+shellWord(filepath.Join(h.dir, "admin.token"))+" /tmp; "+again, "%s", sentence(err))
	}
	return fine("admin.token holds one")
}

func (h *host) lookAtLog(context.Context) finding {
	const large = 100 << 20
	path := filepath.Join(h.dir, "hub.log")
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fine("there is none: no hub ran here with --daemon")
	case err != nil:
		return unseen("%s", sentence(err))
	case info.Size() > large:
		return doubt("tail "+shellWord(path)+"; then: truncate -s 0 "+shellWord(path), "%s: something is told again and again", size(uint64(info.Size()))) //nolint:gosec // not negative
	}
	return fine("%s", size(uint64(info.Size()))) //nolint:gosec // not negative
}

// lookForLeftovers finds what a crash, or a bench that was killed, left behind. None of it does harm.
func (h *host) lookForLeftovers(context.Context) finding {
	const fresh = time.Minute // something may be writing it right now
	var found []string
	for _, n := range h.names {
		info, err := n.Info()
		if err != nil {
			continue
		}
		torn := strings.Contains(n.Name(), ".torn-")
		if torn || strings.HasSuffix(n.Name(), ".new") && time.Since(info.ModTime()) > fresh {
			found = append(found, n.Name())
		}
	}
	for _, pattern := range []string{filepath.Join(h.dir, benchPattern), filepath.Join(filepath.Dir(h.dir), benchPattern)} {
		names, _ := filepath.Glob(pattern) // the pattern is good
		for _, name := range names {
			if _, err := server.FindLocal(filepath.Join(name, benchData)); errors.Is(err, server.ErrNotRunning) {
				found = append(found, name)
			}
		}
	}
	if len(found) > 0 {
		return doubt("look at them: ls -l "+shellWord(h.dir)+"; what you do not need: rm -r", "%s", some(found))
	}
	return fine("none")
}
