package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ctxhub/client"
	"ctxhub/server"
)

// TestUnderSystemd installs the unit with a name of its own, for this run of the machine only, and has systemd start and
// stop it. Where systemd does not run, as in a container, there is nothing to do.
func TestUnderSystemd(t *testing.T) {
	said, _ := exec.Command(need(t, "systemctl"), "is-system-running").Output()
	if state := string(bytes.TrimSpace(said)); state != "running" && state != "degraded" {
		t.Logf("systemd is %q here: the unit is checked by TestTheUnitIsWhatSystemdTakes alone", state)
		return
	}
	needRoot(t)
	sudo := func(program string, args ...string) string {
		t.Helper()
		said, err := root(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", program, args, err, said)
		}
		return strings.TrimSpace(string(said))
	}
	// Not under /tmp, of which the unit sees its own, and without the race detector, which such a unit is too strict for.
	dir := sudo("mktemp", "-d", "/var/lib/ctx-hub-test-XXXXXX")
	t.Cleanup(func() { sudo("rm", "-rf", dir) })
	sudo("chown", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "ctx"), "./ctx")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	data := filepath.Join(dir, "data")
	check(t, os.Mkdir(data, 0o700))
	unit, err := exec.Command(filepath.Join(dir, "ctx"), "hub", "install-service", "--print", "--bind", "127.0.0.1", "--port", "0", "--data-dir", data).Output()
	check(t, err)
	local := filepath.Join(dir, filepath.Base(dir)+".service")
	check(t, os.WriteFile(local, unit, 0o600))
	name := filepath.Base(local)
	installed := filepath.Join("/run/systemd/system", name)
	t.Cleanup(func() {
		sudo("rm", "-f", installed)
		sudo("systemctl", "daemon-reload")
	})
	sudo("install", "-m", "644", local, installed)
	sudo("systemctl", "daemon-reload")
	t.Cleanup(func() { sudo("systemctl", "stop", name) })
	sudo("systemctl", "start", name) // returns when the hub has said that it is ready
	hub, err := server.FindLocal(data)
	check(t, err)
	status, err := newClient(t, client.Config{Addresses: []string{hub.URL}, Token: hub.AdminToken, RetryFor: -1}).Status(t.Context())
	if err != nil || status.GetDegraded() != "" {
		t.Errorf("%v, %v", status, err)
	}
	sudo("systemctl", "stop", name)
	if got := sudo("systemctl", "show", "--property=Result", "--value", name); got != "success" {
		t.Errorf("it ended with %s", got)
	}
	if _, err := os.Stat(filepath.Join(data, "hub.pid")); err == nil {
		t.Error("the hub did not drain: hub.pid is still there")
	}
}
