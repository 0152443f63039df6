package cli

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The kernel's headers have these, and the library of system calls does not.
const (
	ext4Shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)
	withoutLogging = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// PowerCut ends an ext4 file system as a loss of power does: what has not reached its disk, the journal's last part
// included, never will.
func PowerCut(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(d.Fd()), ext4Shutdown, withoutLogging), d.Close())
}

// A program of its own, for tests that are root only through sudo.
func init() {
	programs["powercut"] = func() {
		if err := PowerCut(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
