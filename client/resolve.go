package client

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strings"
)

// Resolve returns the IP addresses that the host's name stands for, in the order of preference; those of a client
// are the same. A host that is an IP address stands for itself.
func (a Address) Resolve(ctx context.Context) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(a.Host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if found := a.resolveLocal(ctx); len(found) > 0 {
		return found, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.Host)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, err
}

// resolveLocal asks the system for a name under .local. Those come from multicast DNS, of which a binary without
// cgo knows nothing on Linux; the system's resolver does, and getent asks it. Where there is no getent, or it has
// no answer, there is none.
func (a Address) resolveLocal(ctx context.Context) []netip.Addr {
	if !strings.HasSuffix(a.Host, ".local") || strings.HasPrefix(a.Host, "-") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	answer, err := exec.CommandContext(ctx, "getent", "ahosts", a.Host).Output() //nolint:gosec // a host's name, as an argument
	if err != nil {
		return nil
	}
	var found []netip.Addr
	seen := map[netip.Addr]bool{}
	for line := range strings.Lines(string(answer)) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if ip, err := netip.ParseAddr(fields[0]); err == nil && !seen[ip] {
			seen[ip] = true
			found = append(found, ip)
		}
	}
	return found
}

// dialTarget is the host and port to connect to.
func (a Address) dialTarget(ctx context.Context) string {
	if found := a.resolveLocal(ctx); len(found) > 0 {
		return netip.AddrPortFrom(found[0], a.Port).String()
	}
	return a.HostPort()
}
