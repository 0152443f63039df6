package store

import "golang.org/x/sys/windows"

// full are the ways in which the system says that nothing more can be stored.
var full = [...]error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
