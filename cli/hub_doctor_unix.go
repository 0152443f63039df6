//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ownerOf is the name of the user that a file belongs to, or the number of one that has no name here.
func ownerOf(info fs.FileInfo) (string, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username, true
	}
	return id, true
}

// isAlive tells whether there is a process with this id, also one that is another user's.
func isAlive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// sameDisk tells whether two names are on one file system.
func sameDisk(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX != nil || errY != nil {
		return false
	}
	p, okP := x.Sys().(*syscall.Stat_t)
	q, okQ := y.Sys().(*syscall.Stat_t)
	return okP && okQ && p.Dev == q.Dev
}
