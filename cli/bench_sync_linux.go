package cli

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData syncs as the hub does: what was written and the file's length, but not its times.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
