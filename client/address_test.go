package client

import (
	"errors"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"nexus.local:9900":            "http://nexus.local:9900",
		"nexus":                       "http://nexus:9900",
		" Nexus.Local ":               "http://nexus.local:9900",
		"nexus:443":                   "https://nexus:443",
		"http://nexus:443":            "http://nexus:443",
		"http://nexus":                "http://nexus:9900",
		"https://nexus.example.com":   "https://nexus.example.com:443",
		"https://nexus.example.com/":  "https://nexus.example.com:443",
		"HTTPS://nexus:9900":          "https://nexus:9900",
		"grpc://nexus":                "http://nexus:9900",
		"grpcs://nexus":               "https://nexus:443",
		"127.0.0.1:1":                 "http://127.0.0.1:1",
		"[::1]":                       "http://[::1]:9900",
		"[::1]:443":                   "https://[::1]:443",
		"https://[2001:DB8::1]:65535": "https://[2001:db8::1]:65535",
	} {
		a, err := ParseAddress(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if a.String() != want {
			t.Errorf("%q: got %s, want %s", in, a, want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for in, reason := range map[string]string{
		"":                       "no host",
		"  ":                     "no host",
		":9900":                  "no host",
		"http://":                "no host",
		"https":                  "", // a host may be called so
		"ftp://nexus":            "scheme",
		"://nexus":               "scheme",
		"http://nexus/hub":       "path",
		"nexus:9900/x":           "path",
		"nexus?x":                "path",
		"nexus#x":                "path",
		"http://me:pw@nexus":     "user name",
		"nexus:":                 "port",
		"nexus:0":                "port",
		"nexus:65536":            "port",
		"nexus:-1":               "port",
		"nexus:http":             "port",
		"::1":                    "brackets",
		"fe80::1:9900":           "brackets",
		"[::1":                   "not closed",
		"[::1]x":                 "only be a port",
		"[nexus]:9900":           "not an IPv6",
		"[127.0.0.1]":            "not an IPv6",
		"ne xus":                 "not a host name",
		"nexus..local":           "not a host name",
		".nexus":                 "not a host name",
		"nexus\n:9900":           "not a host name",
		"nexüs":                  "not a host name",
		strings.Repeat("a", 300): "too long",
	} {
		_, err := ParseAddress(in)
		if reason == "" {
			if err != nil {
				t.Errorf("%q: %v", in, err)
			}
			continue
		}
		var addressErr *AddressError
		if !errors.As(err, &addressErr) || !strings.Contains(addressErr.Reason, reason) || addressErr.Address != in {
			t.Errorf("%q: got %v, want a reason with %q", in, err, reason)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"nexus:9900", "https://[::1]:443/", "grpcs://a.b.", "http://u@h:1/p?q#f", "[::ffff:1.2.3.4]:1", "a:00443"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %+v, which reads as %+v (%v)", s, a, again, err)
		}
		if a.Host == "" || a.Port == 0 || strings.ContainsAny(a.Host, "/@?# ") {
			t.Fatalf("%q is %+v", s, a)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	var addressErr *AddressError
	if _, err := New(Config{}); !errors.As(err, &addressErr) {
		t.Errorf("no address: %v", err)
	}
	if _, err := New(Config{Addresses: []string{"a", "b/c"}}); !errors.As(err, &addressErr) {
		t.Errorf("a bad address: %v", err)
	}
	if _, err := New(Config{Addresses: []string{"a"}, Token: "secret\n"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a token with a line end: %v", err)
	}
	if _, err := New(Config{Addresses: []string{"a"}, CACert: []byte("no PEM")}); err == nil {
		t.Error("a CA certificate that is none was taken")
	}
}

func TestNewIDIsVersion7AndOrdered(t *testing.T) {
	seen := make(map[string]bool)
	last := ""
	for range 1000 {
		id := NewID()
		if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) || strings.Count(id, "-") != 4 {
			t.Fatalf("%s is not a UUIDv7", id)
		}
		if seen[id] || id[:13] < last {
			t.Fatalf("%s after %s", id, last)
		}
		seen[id], last = true, id[:13]
	}
}
