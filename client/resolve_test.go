//go:build unix

package client

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestLocalNamesAreAskedOfTheSystem puts a resolver of its own in the place of getent.
func TestLocalNamesAreAskedOfTheSystem(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = 'ahosts nexus.local' ] && echo '127.0.0.1       STREAM nexus.local'\n"
	if err := os.WriteFile(filepath.Join(bin, "getent"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	l := listen(t)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, (&fakeHub{}).handler())
	c := newClient(t, Config{Addresses: []string{"nexus.local:" + port}})
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}
