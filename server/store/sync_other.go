//go:build !linux

package store

import "os"

// syncData is fsync; on macOS, Go makes it F_FULLFSYNC, which reaches the platters.
func syncData(f *os.File) error { return f.Sync() }
