package cli

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

func TestTheLocalHubIsKnownByANameInItsOwnCertificate(t *testing.T) {
	for want, template := range map[string]x509.Certificate{
		"nexus.example.com": {DNSNames: []string{"nexus.example.com", "other.example.com"}},
		"any.example.com":   {DNSNames: []string{"*.example.com"}},
		"192.0.2.7":         {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 7)}},
	} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.NotAfter = big.NewInt(1), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(nil, &template, &template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		got, err := nameIn(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		if err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.VerifyHostname(got); err != nil {
			t.Error(err)
		}
	}
	if name, err := nameIn(nil); name != "" || err != nil {
		t.Errorf("without a certificate: %q, %v", name, err)
	}
}
