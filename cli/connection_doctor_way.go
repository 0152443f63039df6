package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// way is what is known of how the hub is reached.
type way struct {
	address client.Address
	ips     []netip.Addr
	target  string // of the addresses, the one that took the connection
	alpn    string // what the server chose to speak over TLS
	roots   *x509.CertPool

	client  *client.Client
	asked   bool
	status  *hubv1.StatusResponse
	refused error // why there is no status
	rtt     time.Duration
	offset  time.Duration // of the hub's clock from this one
	http    httpAnswer
}

func (p *patient) close() {
	if p.hangUp != nil {
		p.hangUp()
	}
	if p.client != nil {
		p.client.Close()
	}
}

func (p *patient) resolveName(ctx context.Context) finding {
	var err error
	if p.address, err = client.ParseAddress(p.conn.HubAddr); err != nil {
		return broken(err)
	}
	if p.client, err = p.dial(client.Config{}); err != nil {
		return broken(err)
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	p.ips, err = p.address.Resolve(ctx)
	if err != nil || len(p.ips) == 0 {
		why := "no address"
		if dns := new(net.DNSError); errors.As(err, &dns) {
			why = dns.Err
		}
		return wrong("getent hosts "+shellWord(p.address.Host)+"; or register its IP address: "+withAddress(registerAgain, "ADDRESS"),
			"the host %s cannot be found (%s)", p.address.Host, why).code(exitUnreachable)
	}
	if len(p.ips) == 1 && p.ips[0].String() == p.address.Host {
		return fine("%s, an address and no name", p.address.Host)
	}
	return fine("%s is %s", p.address.Host, addresses(p.ips))
}

func addresses(ips []netip.Addr) string {
	texts := make([]string, len(ips))
	for i, ip := range ips {
		texts[i] = ip.String()
	}
	return strings.Join(texts, ", ")
}

// connectTCP tries every address of the name, since a client does so, too, and a dead one costs it time.
func (p *patient) connectTCP(ctx context.Context) finding {
	const patience = 3 * time.Second
	var dead []string
	silent := false
	for _, ip := range p.ips {
		target := netip.AddrPortFrom(ip, p.address.Port).String()
		conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", target)
		if err != nil {
			dead, silent = append(dead, target+": "+dialReason(err)), silent || isTimeout(err)
			continue
		}
		_ = conn.Close()
		if p.target == "" {
			p.target = target
		}
	}
	switch {
	case p.target == "":
		return wrong("check address and firewall; "+lookAtHub, "%s", strings.Join(dead, "; ")).code(exitUnreachable)
	case silent: // one that refuses costs a client no time, and is common: localhost has two addresses
		return doubt("on the hub's host: ctx hub doctor; or take the dead address out of the name", "%s answers, but %s", p.target, strings.Join(dead, "; "))
	}
	if len(dead) > 0 {
		return fine("%s takes connections; %s", p.target, strings.Join(dead, "; "))
	}
	return fine("%s takes connections", p.address.HostPort())
}

// dialReason is why there was no connection, without the address.
func dialReason(err error) string {
	if isTimeout(err) {
		return "no answer: the host is down, or a firewall drops the packets"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// lookAtTLS leaves it to the client to say what is wrong with a certificate, so that the words are those of every
// other command. What the client does not look at is how long it is still good.
func (p *patient) lookAtTLS(ctx context.Context) finding {
	p.ask(ctx)
	for _, kind := range []error{client.ErrServerWantsTLS, client.ErrServerIsPlaintext, client.ErrCertificate} {
		if errors.Is(p.refused, kind) {
			return broken((&here{p.dir, p.conn}).explain(p.refused)).code(exitUnreachable)
		}
	}
	if !p.address.TLS {
		if p.ips[0].IsLoopback() || p.ips[0].IsPrivate() || p.ips[0].IsLinkLocalUnicast() {
			return fine("plaintext, as the address says")
		}
		return doubt("let the hub or a proxy speak TLS (docs/multi-machine.md), then: ctx connection register https://HOST:PORT --token - --force",
			"plaintext to %s, an address of the internet: the token and all entries can be read on the way", p.ips[0])
	}
	conn, err := p.handshake(ctx)
	if err != nil {
		return broken(&advice{err: err, hint: lookAtHub, exit: exitUnreachable})
	}
	defer conn.Close()
	state := conn.ConnectionState()
	p.alpn = state.NegotiatedProtocol
	return judgeChain(state.VerifiedChains, time.Now())
}

func (p *patient) handshake(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	raw, err := dialAt(p.target)(ctx, "tcp", "")
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, p.secure())
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// secure offers HTTP/1.1, too, which a client does not: a server that has only that is one to tell about.
func (p *patient) secure() *tls.Config {
	if !p.address.TLS {
		return nil
	}
	if p.conn.CACert != "" && p.roots == nil {
		p.roots = x509.NewCertPool()
		p.roots.AppendCertsFromPEM([]byte(p.conn.CACert)) // the client would have refused one without a certificate
	}
	return &tls.Config{ServerName: p.address.Host, RootCAs: p.roots, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
}

// expirySoon leaves time to renew a certificate by hand.
const expirySoon = 30 * 24 * time.Hour

// judgeChain looks when the first certificate of the chain ends that is trusted for longest.
func judgeChain(chains [][]*x509.Certificate, now time.Time) finding {
	var first *x509.Certificate
	for _, chain := range chains {
		ends := chain[0]
		for _, cert := range chain {
			if cert.NotAfter.Before(ends.NotAfter) {
				ends = cert
			}
		}
		if first == nil || ends.NotAfter.After(first.NotAfter) {
			first = ends
		}
	}
	if first == nil {
		return unseen("no certificate was shown")
	}
	left := first.NotAfter.Sub(now)
	if left < expirySoon {
		return doubt("renew it where TLS ends: on the proxy's host, and then nginx -s reload; or on the hub's, which reads it again by itself",
			"the certificate of %s is good for %s only, until %s", certName(first), span(left), first.NotAfter.Format(time.DateOnly))
	}
	return fine("the certificate of %s is good until %s", certName(first), first.NotAfter.Format(time.DateOnly))
}

func certName(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case c.Subject.CommonName != "":
		return oneLine(c.Subject.CommonName)
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return "the server"
}

// ask calls Status three times and keeps the quickest: its round trip says least about chance and most about the way,
// and half of it is how old the hub's time is when it arrives.
func (p *patient) ask(ctx context.Context) {
	if p.asked {
		return
	}
	p.asked = true
	for range 3 {
		sent := time.Now()
		status, err := p.client.Status(ctx)
		if err != nil {
			p.refused = err
			return
		}
		if rtt := time.Since(sent); p.status == nil || rtt < p.rtt {
			p.rtt = rtt
			p.offset = status.GetNow().AsTime().Sub(sent.Add(rtt / 2))
		}
		p.status = status
	}
}

// spoke tells whether a hub was heard in gRPC, be it to say no.
func (p *patient) spoke() bool { return p.refused == nil || isAnswer(p.refused) }

func (p *patient) lookForHub(ctx context.Context) finding {
	var err error
	p.http, err = askOverHTTP(ctx, p.address, p.target, p.secure(), anyHTTP())
	if p.spoke() {
		if p.status == nil {
			return fine("one answers at %s", p.address)
		}
		return fine("one answers at %s, version %s", p.address, p.status.GetVersion())
	}
	if p.http.hub {
		return fine("one answers at %s to %s, but not to gRPC", p.address, p.http.proto)
	}
	f := broken((&here{p.dir, p.conn}).explain(p.refused)).code(exitUnreachable)
	if err == nil {
		f.Seen += "; what is there answers " + p.http.proto + " with " + p.http.status
		if p.http.server != "" {
			f.Seen += ", and calls itself " + p.http.server
		}
	}
	return f
}

const (
	frontHTTP2 = "in nginx's server block: listen 443 ssl http2; (docs/nginx.conf is a whole one)"
	backHTTP2  = "in nginx's location block: grpc_pass grpc://127.0.0.1:9900; in place of proxy_pass (docs/nginx.conf is a whole one)"
)

// lookAtHTTP2 tells on which side of a proxy HTTP/2 is lost, without which gRPC does not arrive.
func (p *patient) lookAtHTTP2(context.Context) finding {
	switch {
	case p.spoke() && p.http.server != "":
		return fine("gRPC comes through, with %s in between", p.http.server)
	case p.spoke():
		return fine("gRPC comes through, and no proxy is to be seen")
	case p.address.TLS && p.alpn != "h2":
		return wrong(frontHTTP2, "%s speaks HTTP/1.1 only, and gRPC needs HTTP/2", p.inBetween()).code(exitUnreachable)
	case !p.address.TLS && errors.Is(p.refused, client.ErrNotAHub) && strings.Contains(p.refused.Error(), "HTTP/1 only"):
		return wrong(frontHTTP2, "%s speaks HTTP/1.1 only, and gRPC needs HTTP/2", p.inBetween()).code(exitUnreachable)
	}
	return wrong(backHTTP2, "%s turns HTTP/2 into HTTP/1.1 on its way to the hub, and gRPC gets lost in that", p.inBetween()).code(exitUnreachable)
}

// inBetween names the proxy, as far as it names itself.
func (p *patient) inBetween() string {
	if p.http.server == "" {
		return "a proxy at " + p.address.String()
	}
	return p.http.server + " at " + p.address.String()
}

func (p *patient) lookAtRoundTrip(context.Context) finding {
	const slow = time.Second
	if p.rtt > slow {
		return doubt("ping "+shellWord(p.address.Host), "%s, the quickest of three", fineSpan(p.rtt))
	}
	return fine("%s, the quickest of three", fineSpan(p.rtt))
}

// maxOffset is how far two clocks may be apart before the dates in mirrors are wrong enough to matter.
const maxOffset = time.Minute

func (p *patient) compareClocks(context.Context) finding {
	if p.status.GetNow() == nil {
		return unseen("this hub does not tell its time: it is older than this ctx")
	}
	side := "ahead of"
	if p.offset < 0 {
		side = "behind"
	}
	if p.offset.Abs() > maxOffset {
		return wrong("here, and on the hub's host: timedatectl; whichever is wrong: timedatectl set-ntp true",
			"the hub's clock is %s %s the one here", span(p.offset.Abs()), side)
	}
	return fine("the hub's clock is %s %s the one here", fineSpan(p.offset.Abs()), side)
}

// fineSpan is for what is usually shorter than a second.
func fineSpan(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return span(d)
	case d >= 100*time.Millisecond:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return strings.Replace(d.Round(100*time.Microsecond).String(), "ms", " ms", 1)
	}
	return strings.Replace(d.Round(time.Microsecond).String(), "µs", " µs", 1)
}

// dialAt connects to one address, whatever a transport would have chosen.
func dialAt(target string) func(ctx context.Context, network, _ string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, target)
	}
}
