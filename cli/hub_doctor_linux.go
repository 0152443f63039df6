package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystems are the numbers that Linux has for the file systems worth telling apart.
var fileSystems = map[uint32]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.F2FS_SUPER_MAGIC: "f2fs",
	0x2fc12fc1: "zfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs",
	unix.NFS_SUPER_MAGIC: "nfs", unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb2", unix.SMB_SUPER_MAGIC: "smb",
	unix.V9FS_MAGIC: "9p", unix.AFS_SUPER_MAGIC: "afs", unix.CEPH_SUPER_MAGIC: "ceph", unix.FUSE_SUPER_MAGIC: "fuse",
	unix.CODA_SUPER_MAGIC: "coda", unix.NCP_SUPER_MAGIC: "ncp", unix.MSDOS_SUPER_MAGIC: "vfat", unix.EXFAT_SUPER_MAGIC: "exfat",
}

func diskOf(dir string) (disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return disk{}, os.NewSyscallError("statfs", err)
	}
	return disk{
		kind: fileSystems[uint32(s.Type)], free: s.Bavail * uint64(s.Bsize), //nolint:gosec // numbers as the kernel means them
		inodes: s.Files, freeInodes: s.Ffree,
	}, nil
}

// openFiles reads how many files a process may have open, and how many it has.
func openFiles(pid int) (limit, used uint64, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	text, err := os.ReadFile(filepath.Join(proc, "limits"))
	if err != nil {
		return 0, 0, err
	}
	_, rest, found := bytes.Cut(text, []byte("Max open files"))
	fields := strings.Fields(string(rest))
	if !found || len(fields) == 0 {
		return 0, 0, fmt.Errorf("%s/limits does not tell", proc)
	}
	if limit, err = strconv.ParseUint(fields[0], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("read %s/limits: %w", proc, err)
	}
	names, err := os.ReadDir(filepath.Join(proc, "fd"))
	return limit, uint64(len(names)), err
}

// listenerOf names the program that listens on a TCP port, as far as this user may know; empty if none is seen.
func listenerOf(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		collectListeners(sockets, table, fmt.Sprintf(":%04X", port))
	}
	if len(sockets) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err == nil {
			return oneLine(string(name)) + " (process " + pid + ")"
		}
	}
	return ""
}

// collectListeners adds the sockets of a table of the kernel's that listen on a port, as links to them read.
func collectListeners(sockets map[string]bool, table, port string) {
	const listening = "0A"
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], port) && fields[3] == listening {
			sockets["socket:["+fields[9]+"]"] = true
		}
	}
}
