package project

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const keySize = 32

func keyPath() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the key: %w", err)
	}
	return filepath.Join(home, ".ctx", ".ctx.key"), nil
}

// CheckKey looks at the user's key, which seals connections, and names its file. It makes none. fs.ErrNotExist,
// ErrKeyMode or ErrKeySize.
func CheckKey() (path string, err error) {
	if path, err = keyPath(); err != nil {
		return "", err
	}
	_, err = readKey(path)
	return path, err
}

// readKey returns the user's key. fs.ErrNotExist, ErrKeyMode or ErrKeySize, with the file's name.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Windows knows no modes; there the profile directory keeps others out.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o: run chmod 600 %s", ErrKeyMode, path, info.Mode().Perm(), path)
	}
	if info.Size() != keySize {
		return nil, fmt.Errorf("%w: %s has %d", ErrKeySize, path, info.Size())
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("%w: %s has %d", ErrKeySize, path, len(key))
	}
	return key, nil
}

// readOrMakeKey returns the user's key, making it on first use.
func readOrMakeKey() ([]byte, error) {
	path, err := keyPath()
	if err != nil {
		return nil, err
	}
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(path); err == nil {
			key, err = readKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read or make the key: %w", err)
	}
	return key, nil
}

// makeKey makes a key unless there is one. Of two processes that do so at once, one links its key to the
// name and both use that one; a reader never sees half a key.
func makeKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".ctx.key.tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, keySize)
	rand.Read(key)
	if err := system.fill(f, key); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncParent(path)
}
