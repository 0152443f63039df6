package client

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	plainPort = 9900 // where a hub listens by default
	tlsPort   = 443
)

// Address is where a hub listens.
type Address struct {
	Host string // a lower-case name or an IP address; IPv6 without brackets
	Port uint16
	TLS  bool
}

// AddressError is a hub address that cannot be used, and why.
type AddressError struct {
	Address string // as it was given
	Reason  string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("hub address %q: %s", e.Address, e.Reason)
}

// HostPort is the address as one dials it.
func (a Address) HostPort() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// String is the canonical form: http://host:port, or https://host:port with TLS.
func (a Address) String() string {
	scheme := "http"
	if a.TLS {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: a.HostPort()}).String()
}

// ParseAddress reads an address as people type it: host:port, a bare host, or with http://, https://,
// grpc:// or grpcs:// before it. A bare host:443 means TLS. Without a port it is 443 for https and grpcs,
// 9900 otherwise. The error is an *AddressError.
func ParseAddress(s string) (Address, error) {
	refuse := func(format string, args ...any) (Address, error) {
		return Address{}, &AddressError{Address: s, Reason: fmt.Sprintf(format, args...)}
	}
	rest := strings.TrimSpace(s)
	scheme, after, hasScheme := strings.Cut(rest, "://")
	if hasScheme {
		rest = after
	}
	var a Address
	switch strings.ToLower(scheme) {
	case "https", "grpcs":
		a.TLS = hasScheme
	case "http", "grpc":
	default:
		if hasScheme {
			return refuse("the scheme %q is not one of http, https, grpc, grpcs", scheme)
		}
	}
	rest = strings.TrimSuffix(rest, "/")
	switch {
	case rest == "":
		return refuse("there is no host in it")
	case strings.Contains(rest, "@"):
		return refuse("it has a user name in it; a hub wants a token, which is given apart")
	case strings.ContainsAny(rest, "/?#"):
		return refuse("it has a path; a hub is addressed by host and port only")
	}
	host, port, reason := splitHostPort(rest)
	if reason == "" {
		a.Host, reason = checkHost(host, strings.HasPrefix(rest, "["))
	}
	if reason == "" {
		a.Port, reason = checkPort(port, a.TLS)
	}
	if reason != "" {
		return refuse("%s", reason)
	}
	if !hasScheme && a.Port == tlsPort {
		a.TLS = true
	}
	return a, nil
}

// splitHostPort gives the port with its colon, or "" where there is none.
func splitHostPort(s string) (host, port, reason string) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", "the bracket of the IPv6 address is not closed"
		}
		host, port = s[1:end], s[end+1:]
		if port != "" && port[0] != ':' {
			return "", "", "after the IPv6 address there may only be a port"
		}
		return host, port, ""
	}
	if strings.Count(s, ":") > 1 {
		return "", "", "an IPv6 address is written in brackets, as in [::1]:9900"
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		return s[:i], s[i:], ""
	}
	return s, "", ""
}

func checkPort(port string, isTLS bool) (number uint16, reason string) {
	switch {
	case port == "" && isTLS:
		return tlsPort, ""
	case port == "":
		return plainPort, ""
	}
	n, err := strconv.ParseUint(port[1:], 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Sprintf("the port %q is not a number from 1 to 65535", port[1:])
	}
	return uint16(n), ""
}

func checkHost(host string, bracketed bool) (canonical, reason string) {
	if bracketed {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", fmt.Sprintf("%q is not an IPv6 address", host)
		}
		return ip.String(), ""
	}
	host = strings.ToLower(host)
	if host == "" {
		return "", "there is no host in it"
	}
	if len(host) > 253 {
		return "", "the host name is too long"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" {
			return "", fmt.Sprintf("%q is not a host name", host)
		}
	}
	for _, c := range []byte(host) {
		if c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", fmt.Sprintf("%q is not a host name: only letters, digits, dots and hyphens are", host)
		}
	}
	return host, ""
}
