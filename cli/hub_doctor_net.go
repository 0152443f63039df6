package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// lookAtPort says whether a hub could have the port, and who has it otherwise.
func (h *host) lookAtPort(ctx context.Context) finding {
	if h.local.PID != 0 {
		return fine("%d is this hub's", h.at.Port)
	}
	port := h.command.Port
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	who := listenerOf(port)
	if err != nil && who == "" {
		return fine("%d is free", port)
	}
	if err == nil {
		_ = conn.Close()
	}
	if who == "" {
		who = "something that only root can name"
		if isRoot() || runtime.GOOS != "linux" {
			who = "another program"
		}
	}
	return wrong(h.command.command(fmt.Sprintf("ctx hub start --daemon --port %d", port%65535+1))+", or end what is there: ss -ltnp 'sport = :"+strconv.Itoa(port)+"'",
		"%d is taken by %s", port, who)
}

// lookAtNetwork tries the host's own addresses, which says more than how the hub was started.
func (h *host) lookAtNetwork(ctx context.Context) finding {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return unseen("%s", sentence(err))
	}
	for _, a := range own {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		target := netip.AddrPortFrom(prefix.Addr(), h.at.Port).String()
		if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", target); err == nil {
			_ = conn.Close()
			h.open = append(h.open, target)
		}
	}
	return judgeNetwork(h.open, h.local.TLSCert != "")
}

func judgeNetwork(open []string, secure bool) finding {
	switch {
	case len(open) == 0:
		return fine("only programs on this machine can reach it, such as a proxy; to let others: ctx hub start --bind ADDRESS")
	case !secure:
		return doubt("ctx hub start --tls-cert FILE --tls-key FILE, or --bind 127.0.0.1 behind a TLS proxy (docs/multi-machine.md)",
			"open to the network in plaintext, at %s: whoever is on the way can read tokens and entries", some(open))
	}
	return fine("open to the network with TLS, at %s", some(open))
}

func (h *host) lookAtFirewall(ctx context.Context) finding {
	if len(h.open) == 0 {
		return fine("none is in the way of this machine's own programs")
	}
	if runtime.GOOS != "linux" {
		return unseen("no way is known here to ask this system's firewall")
	}
	port := strconv.Itoa(int(h.at.Port))
	for _, ask := range []func(context.Context, string) (finding, bool){askFirewalld, askUFW, askNFTables} {
		if f, found := ask(ctx, port); found {
			return f
		}
	}
	if !isRoot() {
		return unseen("only root can see: sudo ctx hub doctor")
	}
	return fine("neither firewalld, ufw nor nftables stands in the way")
}

// answerOf runs a program that answers at once, or not at all.
func answerOf(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	text, err := exec.CommandContext(ctx, program, args...).Output() //nolint:gosec // programs of ours to name
	return string(text), err
}

func askFirewalld(ctx context.Context, port string) (finding, bool) {
	state, err := answerOf(ctx, "firewall-cmd", "--state")
	if err != nil || !strings.Contains(state, "running") {
		return finding{}, false
	}
	if _, err := answerOf(ctx, "firewall-cmd", "--query-port="+port+"/tcp"); err != nil {
		return doubt("sudo firewall-cmd --permanent --add-port="+port+"/tcp && sudo firewall-cmd --reload",
			"firewalld is active, and port %s is not among its open ports", port), true
	}
	return fine("firewalld lets port %s through", port), true
}

func askUFW(ctx context.Context, port string) (finding, bool) {
	status, err := answerOf(ctx, "ufw", "status")
	if err != nil { // only root may ask; the configuration can be read by all
		text, err := os.ReadFile("/etc/ufw/ufw.conf")
		if err != nil || !strings.Contains(string(text), "ENABLED=yes") {
			return finding{}, false
		}
		return unseen("ufw is active, and only root can see its rules: sudo ufw status"), true
	}
	if !strings.Contains(status, "Status: active") {
		return finding{}, false
	}
	if regexp.MustCompile(`(?m)^` + port + `(/tcp)?\s+ALLOW`).MatchString(status) {
		return fine("ufw lets port %s through", port), true
	}
	return doubt("sudo ufw allow "+port+"/tcp", "ufw is active, and no rule of its names port %s", port), true
}

// askNFTables looks for a chain that drops what comes in, and for a rule that names the port.
func askNFTables(ctx context.Context, port string) (finding, bool) {
	rules, err := answerOf(ctx, "nft", "list", "ruleset")
	if err != nil {
		return finding{}, false
	}
	drops := regexp.MustCompile(`hook input [^\n]*policy drop`).MatchString(rules)
	if !drops || regexp.MustCompile(`dport [^\n]*\b`+port+`\b[^\n]*accept`).MatchString(rules) {
		return finding{}, false
	}
	return doubt("sudo nft list ruleset; to open the port, in the chain of hook input: tcp dport "+port+" accept",
		"nftables drops what comes in, and no rule of its names port %s", port), true
}

// lookAtCertificate reads the files as the next start would, and compares them with what is served now.
func (h *host) lookAtCertificate(ctx context.Context) finding {
	if h.local.TLSCert == "" {
		return fine("none: this hub speaks plaintext")
	}
	renew := "put a good pair in their place: " + shellWord(h.local.TLSCert)
	if h.local.TLSKey != "" {
		renew += ", " + shellWord(h.local.TLSKey)
		pair, err := tls.LoadX509KeyPair(h.local.TLSCert, h.local.TLSKey)
		if err != nil {
			return wrong(renew, "the files are no pair, so that the hub goes on with the old one and would not start again: %s", sentence(err))
		}
		if served := h.served(ctx); served != nil && !served.Equal(pair.Leaf) {
			return doubt(h.command.command("ctx hub stop")+"; "+h.command.command("ctx hub start --daemon"), "another one is served than the one in %s", h.local.TLSCert)
		}
		return judgeLeaf(pair.Leaf, renew, time.Now())
	}
	served := h.served(ctx)
	if served == nil {
		return unseen("the hub shows none")
	}
	return judgeLeaf(served, renew, time.Now())
}

func judgeLeaf(cert *x509.Certificate, renew string, now time.Time) finding {
	switch left := cert.NotAfter.Sub(now); {
	case left <= 0:
		return wrong(renew+"; they are read again by themselves", "the certificate of %s ended on %s", certName(cert), cert.NotAfter.Format(time.DateTime))
	case now.Before(cert.NotBefore):
		return wrong(renew+"; they are read again by themselves, or set the clock: timedatectl", "the certificate of %s begins on %s only", certName(cert), cert.NotBefore.Format(time.DateTime))
	case left < expirySoon:
		return doubt(renew+"; they are read again by themselves", "the certificate of %s is good for %s only, until %s", certName(cert), span(left), cert.NotAfter.Format(time.DateOnly))
	}
	return fine("the certificate of %s is good until %s", certName(cert), cert.NotAfter.Format(time.DateOnly))
}

// served is the certificate that the hub shows to whoever asks; nil if it shows none.
func (h *host) served(ctx context.Context) *x509.Certificate {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is only looked at
	conn, err := dialer.DialContext(ctx, "tcp", h.at.HostPort())
	if err != nil {
		return nil
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	return secure.ConnectionState().PeerCertificates[0] // a handshake without one fails
}

// showUnit asks systemd for what it knows of the hub's unit.
func showUnit(ctx context.Context, scope string) (map[string]string, error) {
	text, err := answerOf(ctx, "systemctl", scope, "show", "--property=LoadState,ActiveState,UnitFileState,MainPID,NRestarts,Result,ExecStart", unitName)
	if err != nil {
		return nil, err
	}
	unit := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		unit[name] = value
	}
	return unit, nil
}
