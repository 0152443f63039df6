//go:build unix

package client

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestLocalNamesAreAskedOfTheSystem puts a resolver of its own in the place of getent.
func TestLocalNamesAreAskedOfTheSystem(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = 'ahosts nexus.local' ] && echo '127.0.0.1       STREAM nexus.local' && echo '127.0.0.1       DGRAM' && echo '::1   STREAM'\n"
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
	found, err := Address{Host: "nexus.local", Port: 9900}.Resolve(t.Context())
	if err != nil || fmt.Sprint(found) != "[127.0.0.1 ::1]" {
		t.Errorf("%v, %v", found, err)
	}
}

func TestResolve(t *testing.T) {
	for host, want := range map[string]string{"192.0.2.7": "[192.0.2.7]", "fd00::7": "[fd00::7]"} {
		if found, err := (Address{Host: host}).Resolve(t.Context()); err != nil || fmt.Sprint(found) != want {
			t.Errorf("%s: %v, %v", host, found, err)
		}
	}
	if found, err := (Address{Host: "localhost"}).Resolve(t.Context()); err != nil || len(found) == 0 || !found[0].IsLoopback() {
		t.Errorf("localhost: %v, %v", found, err)
	}
	if found, err := (Address{Host: "no-such-host.invalid"}).Resolve(t.Context()); err == nil {
		t.Errorf("a host that is not there: %v", found)
	}
}
