package server

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificates serves a certificate from files and reads them again when one has changed.
type certificates struct {
	certFile, keyFile string

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]time.Time // when the files were changed
	checked time.Time
}

// checkEvery is how often the files' times are looked at, at most.
const checkEvery = time.Second

func loadCertificates(certFile, keyFile string) (*certificates, error) {
	if certFile == "" {
		return nil, nil //nolint:nilnil // no certificate was asked for
	}
	c := &certificates{certFile: certFile, keyFile: keyFile}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("%w: the TLS certificate: %w", ErrBadConfig, err)
	}
	return c, nil
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.get(), nil
		},
	}
}

// get looks whether the files changed. While they cannot be read as a pair (one is replaced before the other),
// the certificate that was good goes on.
func (c *certificates) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= checkEvery {
		c.checked = time.Now()
		if stamp, err := c.changed(); err == nil && stamp != c.stamp {
			previous := c.current
			if c.load() != nil {
				c.current = previous
			}
		}
	}
	return c.current
}

func (c *certificates) load() error {
	stamp, err := c.changed()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificates) changed() (stamp [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}
