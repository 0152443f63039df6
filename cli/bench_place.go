package cli

import (
	"fmt"
	"os"
	"path/filepath"
)

// Names of what a bench makes on the disk and removes again. Another bench, or a doctor, knows them by these.
const (
	benchPattern = ".ctx-bench-*"
	benchData    = "hub-data"
)

// makeBenchDir makes a directory on the disk that the data directory is on, or would be: beside it, or in it where it
// is a disk of its own.
func makeBenchDir(dataDir string) (string, error) {
	beside := filepath.Dir(dataDir)
	for {
		if _, err := os.Stat(beside); err == nil || beside == filepath.Dir(beside) {
			break
		}
		beside = filepath.Dir(beside)
	}
	if _, err := os.Stat(dataDir); err == nil && !sameDisk(beside, dataDir) {
		beside = dataDir
	}
	dir, err := os.MkdirTemp(beside, benchPattern)
	if err != nil {
		return "", &advice{err: fmt.Errorf("make a directory for the bench: %w", err), hint: "ctx hub bench --data-dir DIRECTORY, on the disk to measure and beside which you may write"}
	}
	return dir, nil
}
