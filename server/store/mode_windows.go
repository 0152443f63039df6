package store

import "io/fs"

// closeToOthers has nothing to do: a user's own directories are closed to others by their access lists.
func closeToOthers(string, fs.FileMode) (string, error) { return "", nil }
