package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ctxhub/server/store"
)

// ErrNotRunning says that no hub has the data directory open.
var ErrNotRunning = errors.New("no hub is running")

// Local is a hub that runs on this machine, and what is needed to ask it.
type Local struct {
	URL        string
	TLSCert    string // PEM file of the certificate it serves, if it speaks TLS
	TLSKey     string // PEM file of its key
	AdminToken string
	PID        int
}

type addressFile struct {
	URL     string `json:"url"`
	TLSCert string `json:"tls_cert,omitempty"`
	TLSKey  string `json:"tls_key,omitempty"`
}

// announce writes the process's files; the returned function removes them.
func announce(dir, url, cert, key string) (forget func() error, err error) {
	for _, file := range []*string{&cert, &key} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return nil, err
		}
	}
	address, err := json.Marshal(addressFile{url, cert, key})
	if err != nil {
		return nil, err
	}
	pidFile, addressPath := filepath.Join(dir, store.PIDName), filepath.Join(dir, store.AddressName)
	// The pid comes last: where it is, the rest is there too.
	for _, f := range []struct{ name, text string }{
		{addressPath, string(address) + "\n"}, {pidFile, strconv.Itoa(os.Getpid()) + "\n"},
	} {
		err := os.WriteFile(f.name+".new", []byte(f.text), 0o600)
		if err == nil {
			err = os.Rename(f.name+".new", f.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
		}
	}
	return func() error { return errors.Join(os.Remove(pidFile), os.Remove(addressPath)) }, nil
}

// FindLocal returns the hub that has dataDir open. ErrNotRunning if there is none, whatever files a killed one
// left behind.
func FindLocal(dataDir string) (Local, error) {
	running, err := store.InUse(dataDir)
	if err != nil {
		return Local{}, err
	}
	if !running {
		return Local{}, fmt.Errorf("%w on %s", ErrNotRunning, dataDir)
	}
	text, err := os.ReadFile(filepath.Join(dataDir, store.PIDName))
	if errors.Is(err, fs.ErrNotExist) {
		return Local{}, fmt.Errorf("%w on %s yet: another program has it open, or a hub is just starting or stopping", ErrNotRunning, dataDir)
	}
	if err != nil {
		return Local{}, err
	}
	var l Local
	if l.PID, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil || l.PID <= 1 {
		return Local{}, fmt.Errorf("%s does not hold a process id: %q", filepath.Join(dataDir, store.PIDName), text)
	}
	text, err = os.ReadFile(filepath.Join(dataDir, store.AddressName))
	if err != nil {
		return Local{}, err
	}
	var a addressFile
	if err := json.Unmarshal(text, &a); err != nil {
		return Local{}, fmt.Errorf("%s: %w", filepath.Join(dataDir, store.AddressName), err)
	}
	l.URL, l.TLSCert, l.TLSKey = a.URL, a.TLSCert, a.TLSKey
	l.AdminToken, err = store.ReadAdminToken(dataDir)
	return l, err
}
