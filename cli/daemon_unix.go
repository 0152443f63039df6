//go:build unix

package cli

import (
	"os/exec"
	"syscall"
)

// detach gives the daemon a session of its own, so that it outlives the terminal.
func detach(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
