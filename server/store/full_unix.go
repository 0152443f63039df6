//go:build unix

package store

import "syscall"

// full are the ways in which the system says that nothing more can be stored.
var full = [...]error{syscall.ENOSPC, syscall.EDQUOT}
