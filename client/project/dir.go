// Package project keeps what a project's .context directory holds of a hub: the sealed connection, the
// mirrors of the entries it is subscribed to, and the state that says how far the mirrors are.
package project

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	contextDir     = ".context"
	connectionFile = ".connect.enc"
	hubDir         = "hub"
	stateFile      = ".sync-state.json"
	lockFile       = ".lock"
	notesFile      = ".published.jsonl"
)

// Dir is a project: a directory that holds .context.
type Dir struct {
	root string
	disk disk
}

// Find returns the project that the directory from belongs to: the nearest one, at or above it, that holds
// .context. It does not look above the root of a git repository, and not into the home directory or above
// it unless from is the home directory itself. ErrNoContext if there is none.
func Find(from string) (*Dir, error) {
	start, err := filepath.Abs(from)
	if err != nil {
		return nil, fmt.Errorf("find the project of %s: %w", from, err)
	}
	home, _ := os.UserHomeDir() // without a home there is nothing to keep out of
	for dir := start; ; dir = filepath.Dir(dir) {
		if dir != start && home != "" && sameDir(dir, home) {
			break
		}
		if isDir(filepath.Join(dir, contextDir)) {
			return &Dir{root: dir, disk: system}, nil
		}
		if exists(filepath.Join(dir, ".git")) || dir == filepath.Dir(dir) {
			break
		}
	}
	return nil, fmt.Errorf("%s: %w", start, ErrNoContext)
}

// Create makes .context in dir, which must exist, and returns the project. One that is there already is kept.
func Create(dir string) (*Dir, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("create a project in %s: %w", dir, err)
	}
	path := filepath.Join(root, contextDir)
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as readable as the rest of the project
		return nil, fmt.Errorf("create a project: %w", err)
	}
	if !isDir(path) {
		return nil, fmt.Errorf("create a project: %s is not a directory", path)
	}
	return &Dir{root: root, disk: system}, nil
}

// Root is the directory that holds .context.
func (d *Dir) Root() string { return d.root }

// Name is the name of the project's directory, the name it registers under by default.
func (d *Dir) Name() string { return filepath.Base(d.root) }

// Registered tells whether there is a sealed connection. Load may still fail.
func (d *Dir) Registered() bool { return exists(d.connectionPath()) }

func (d *Dir) connectionPath() string { return filepath.Join(d.root, contextDir, connectionFile) }

// hubPath is a file of .context/hub.
func (d *Dir) hubPath(name string) string { return filepath.Join(d.root, contextDir, hubDir, name) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// sameDir compares directories rather than their spelling, for homes that are symbolic links.
func sameDir(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
