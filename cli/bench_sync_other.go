//go:build !linux

package cli

import "os"

func syncData(f *os.File) error { return f.Sync() }
