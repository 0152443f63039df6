package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

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

// announce writes the process's files; the returned function removes them. A full disk does not keep a hub from its
// readers: it then goes on trying, and says so in late.
func announce(dir, url, cert, key string) (forget func() error, late []string, err error) {
	for _, file := range []*string{&cert, &key} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return nil, nil, err
		}
	}
	address, err := json.Marshal(addressFile{url, cert, key})
	if err != nil {
		return nil, nil, err
	}
	// The pid comes last: where it is, the rest is there too.
	all := []processFile{
		{filepath.Join(dir, store.AddressName), string(address) + "\n"},
		{filepath.Join(dir, store.PIDName), strconv.Itoa(os.Getpid()) + "\n"},
	}
	err = writeAll(all)
	if err == nil {
		return func() error { return removeAll(all) }, nil, nil
	}
	if !store.NoRoom(err) {
		return nil, nil, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		retry(stop, func() error { return writeAll(all) })
	}()
	return func() error {
		close(stop)
		<-done
		return removeAll(all)
	}, []string{"the disk is full: readers are served, and entries are taken when there is room; until then ctx hub status and stop do not find this hub by its directory"}, nil
}

// processFile tells others of this process.
type processFile struct{ name, text string }

func writeAll(all []processFile) error {
	for _, f := range all {
		err := os.WriteFile(f.name+".new", []byte(f.text), 0o600)
		if err == nil {
			err = os.Rename(f.name+".new", f.name)
		}
		if err != nil {
			_ = os.Remove(f.name + ".new")
			return err
		}
	}
	return nil
}

func removeAll(all []processFile) error {
	for _, f := range slices.Backward(all) {
		if err := os.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// retry calls f every second until it succeeds or stop is closed.
func retry(stop <-chan struct{}, f func() error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if f() == nil {
				return
			}
		case <-stop:
			return
		}
	}
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
		return Local{}, fmt.Errorf("%w on %s yet: another program has it open, a hub is just starting or stopping, or its disk is full", ErrNotRunning, dataDir)
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
