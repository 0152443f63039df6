package client

import (
	"context"
	"net"
	"os/exec"
	"strings"
)

// dialTarget is the host and port to connect to. Names under .local come from multicast DNS, of which a binary
// without cgo knows nothing on Linux; the system's resolver does, and getent asks it. Where there is no getent,
// or it has no answer, the name is left to Go.
func (a Address) dialTarget(ctx context.Context) string {
	if !strings.HasSuffix(a.Host, ".local") || strings.HasPrefix(a.Host, "-") {
		return a.HostPort()
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	answer, err := exec.CommandContext(ctx, "getent", "ahosts", a.Host).Output() //nolint:gosec // a host's name, as an argument
	if fields := strings.Fields(string(answer)); err == nil && len(fields) > 0 && net.ParseIP(fields[0]) != nil {
		return Address{Host: fields[0], Port: a.Port}.HostPort()
	}
	return a.HostPort()
}
