package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// openNamed opens a file that somebody named on the command line.
func openNamed(what, path string) (*os.File, error) {
	f, err := os.Open(path)
	if err == nil {
		return f, nil
	}
	a := &advice{err: fmt.Errorf("read the %s: %w", what, err), hint: "ls -l " + shellWord(path)}
	if errors.Is(err, fs.ErrNotExist) {
		a.exit = exitNotFound
	}
	return nil, a
}

// dataDir is the flag that names a hub's data directory.
type dataDir struct {
	DataDir string `default:"~/.ctx/hub-data" placeholder:"DIR" help:"The hub's data directory (${default})."`
}

const defaultDataDir = "~/.ctx/hub-data"

// path is the directory in full. The tilde is ours to expand: it is in the default, and shells leave it
// alone in --data-dir=~/x.
func (d dataDir) path() (string, error) {
	path := d.DataDir
	if path == "" {
		return "", usage("ctx hub start --help", "--data-dir is empty")
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the data directory: %w", err)
		}
		path = filepath.Join(home, rest)
	}
	return filepath.Abs(path)
}

// command writes a command for this data directory as a person would type it.
func (d dataDir) command(command string) string {
	if d.DataDir == defaultDataDir {
		return command
	}
	path, err := d.path()
	if err != nil {
		path = d.DataDir
	}
	return command + " --data-dir " + shellWord(path)
}
