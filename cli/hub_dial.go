package cli

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"ctxhub/client"
	"ctxhub/server"
)

// hubFlags say which hub a command is about: the one on this machine, or another with --hub and a token.
type hubFlags struct {
	dataDir
	Hub    string `placeholder:"HOST:PORT" help:"A hub on another machine; needs a token."`
	CACert string `name:"ca-cert" placeholder:"FILE" help:"Trust this authority's certificate, in PEM form, for --hub."`
	tokenFlags
}

// theHub is a hub to ask, and what is known of it without asking.
type theHub struct {
	*client.Client
	address string
	config  client.Config // what the client was made with
	local   server.Local  // zero for a hub elsewhere
}

func (f *hubFlags) dial(sys *system) (*theHub, error) {
	if f.Hub != "" {
		return f.dialRemote(sys)
	}
	dir, err := f.path()
	if err != nil {
		return nil, err
	}
	local, err := server.FindLocal(dir)
	if err != nil {
		return nil, f.notRunning(err)
	}
	return dialLocal(local, client.Config{})
}

// dialLocal makes the admin's client for a hub on this machine, with what else config says.
func dialLocal(local server.Local, config client.Config) (*theHub, error) {
	config.Addresses, config.Token = []string{local.URL}, local.AdminToken
	var err error
	if config.CACert, err = readCert(local.TLSCert); err != nil {
		return nil, err
	}
	if config.ServerName, err = nameIn(config.CACert); err != nil {
		return nil, fmt.Errorf("read the hub's certificate: %w", err)
	}
	c, err := client.New(config)
	if err != nil {
		return nil, err
	}
	return &theHub{c, typedAddress(local.URL), config, local}, nil
}

func (f *hubFlags) dialRemote(sys *system) (*theHub, error) {
	token, err := f.read(sys)
	if errors.Is(err, errNoToken) {
		return nil, &advice{err: err, exit: exitAuth, hint: "--token -, --token-file FILE or CTX_HUB_TOKEN; on the hub's host no token is needed"}
	}
	if err != nil {
		return nil, err
	}
	address, err := client.ParseAddress(f.Hub)
	if err != nil {
		return nil, err
	}
	config := client.Config{Addresses: []string{f.Hub}, Token: token}
	if config.CACert, err = readCert(f.CACert); err != nil {
		return nil, err
	}
	c, err := client.New(config)
	if err != nil {
		return nil, &advice{err: err, hint: "ctx hub status --help", exit: exitUsage}
	}
	return &theHub{Client: c, address: typedAddress(address.String()), config: config}, nil
}

// explain adds to an error which hub it is about.
func (h *theHub) explain(err error) error {
	if err == nil {
		return nil
	}
	return &advice{err: err, hub: h.address, fresh: true}
}

// notRunning names this data directory in the hint.
func (d dataDir) notRunning(err error) error {
	if errors.Is(err, server.ErrNotRunning) {
		return &advice{err: err, hint: d.command("ctx hub start --daemon")}
	}
	return err
}

// nameIn is a name that the certificate is for. The hub on this machine is reached by an address that its
// certificate need not have; that it is the one in the hub's own file is proof enough. No certificate, no name.
func nameIn(pemText []byte) (string, error) {
	block, _ := pem.Decode(pemText)
	if block == nil {
		return "", nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "", err
	case len(cert.DNSNames) > 0:
		return strings.Replace(cert.DNSNames[0], "*", "any", 1), nil
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String(), nil
	}
	return "", nil
}

// readCert reads a PEM file; no name gives nil.
func readCert(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	f, err := openNamed("certificate", file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return text, nil
}
