//go:build linux

package cli_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// examined is what a doctor has found: by check, the verdict, what was seen and the next step.
type examined map[string]struct{ Check, Verdict, Seen, Next string }

func (w *workstation) doctor(want int, args ...string) examined {
	w.t.Helper()
	code, stdout, stderr := w.run(append([]string{"connection", "doctor", "--json"}, args...)...)
	var d struct {
		Checks []struct{ Check, Verdict, Seen, Next string }
	}
	if err := json.Unmarshal([]byte(stdout), &d); err != nil || code != want {
		w.t.Fatalf("exit code %d, want %d; %v in %s%s", code, want, err, stdout, stderr)
	}
	all := examined{}
	for _, c := range d.Checks {
		all[c.Check] = c
	}
	return all
}

// is compares a verdict, and looks for words in what was seen and in the next step.
func (e examined) is(t *testing.T, check, verdict string, words ...string) {
	t.Helper()
	f := e[check]
	if f.Verdict != verdict {
		t.Errorf("%s is %q, want %q: %s", check, f.Verdict, verdict, f.Seen)
	}
	contains(t, f.Seen+" "+f.Next, words...)
}

// Behind a good proxy all is well but for what the least of server blocks lacks.
func TestFrontdoorDoctorBehindNginx(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t, "--heartbeat", "500ms")
	least, docs := startNginx(t, h, seedBlock, ""), startNginx(t, h, docsBlock, "")
	x, y := joined(t, h, least, "x"), joined(t, h, docs, "y")

	found := x.doctor(0)
	found.is(t, "request size", "warning", "413", "client_max_body_size 8m", "nginx")
	found.is(t, "TLS", "warning", "localhost", "23 h") // the test's certificate is good for a day
	for _, check := range []string{"hub", "token", "clock", "first message"} {
		found.is(t, check, "ok")
	}
	found.is(t, "HTTP/2", "ok", "nginx")
	found.is(t, "idle stream", "ok", "heartbeat")

	y.doctor(0).is(t, "request size", "ok")
	y.doctor(0, "--idle", "2s").is(t, "idle stream", "ok", "heartbeat")
}

// A proxy that is less patient than the hub's heartbeat cuts the stream, and is named.
func TestFrontdoorDoctorSeesACut(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "grpc_read_timeout 1s;")
	found := joined(t, h, n, "x").doctor(1)
	found.is(t, "first message", "ok")
	found.is(t, "idle stream", "problem", "nginx", "cut it after", "grpc_read_timeout 5m")
}

// HTTP/2 can be lost on either side of a proxy.
func TestFrontdoorDoctorSeesADowngrade(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	good := startNginx(t, h, seedBlock, "")
	front := startNginx(t, h, seedBlock, "", " http2;", ";")
	back := startNginx(t, h, seedBlock, "", "grpc_pass grpc://127.0.0.1:9900", "proxy_http_version 1.1; proxy_pass http://"+h.address)
	plain := startNginx(t, h, seedBlock, "", "ssl http2;", ";")
	for _, tt := range []struct {
		name, address, ca, next string
	}{
		{"front", front.url, front.ca, "listen 443 ssl http2"},
		{"back", back.url, back.ca, "grpc_pass"},
		{"plain", "http://" + plain.address, "", "listen 443 ssl http2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := joined(t, h, good, tt.name)
			w.moveTo(tt.address, tt.ca)
			found := w.doctor(8)
			found.is(t, "hub", "ok", "not to gRPC")
			found.is(t, "HTTP/2", "problem", "HTTP/1.1", "nginx", tt.next)
			found.is(t, "token", "not checked")
		})
	}
}

// A hub that is down behind a proxy, and a proxy's page in place of a hub.
func TestFrontdoorDoctorHubDown(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "grpc_connect_timeout 1s;")
	page := startNginx(t, h, seedBlock, "", "grpc_pass grpc://127.0.0.1:9900", "return 404")
	w := joined(t, h, n, "x")
	w.moveTo(page.url, page.ca)
	w.doctor(8).is(t, "hub", "problem", "404", "nginx")
	w.moveTo(n.url, n.ca)
	h.stop()
	found := w.doctor(8)
	found.is(t, "TCP", "ok")
	found.is(t, "hub", "problem", "502", "nginx", "ctx hub status")
}

// A certificate of an authority that is not known here.
func TestFrontdoorDoctorSeesABadCertificate(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n, other := startNginx(t, h, seedBlock, ""), startNginx(t, h, seedBlock, "")
	w := joined(t, h, n, "x")
	w.moveTo(n.url, other.ca)
	w.doctor(8).is(t, "TLS", "problem", "authority", "--ca-cert")
}

// moveTo changes the address in the sealed connection, as registering would if a hub could be reached there.
func (w *workstation) moveTo(address, ca string) {
	w.t.Helper()
	path := filepath.Join(w.dir, ".context", ".connect.enc")
	key, err := os.ReadFile(filepath.Join(w.home, ".ctx", ".ctx.key"))
	check(w.t, err)
	block, err := aes.NewCipher(key)
	check(w.t, err)
	aead, err := cipher.NewGCM(block)
	check(w.t, err)
	sealed, err := os.ReadFile(path)
	check(w.t, err)
	nonce := slices.Clone(sealed[:aead.NonceSize()])
	plain, err := aead.Open(nil, nonce, sealed[aead.NonceSize():], nil)
	check(w.t, err)
	conn := map[string]any{}
	check(w.t, json.Unmarshal(plain, &conn))
	conn["hub_addr"], conn["ca_cert"] = address, ""
	if ca != "" {
		text, err := os.ReadFile(ca)
		check(w.t, err)
		conn["ca_cert"] = string(text)
	}
	plain, err = json.Marshal(conn)
	check(w.t, err)
	_, err = rand.Read(nonce)
	check(w.t, err)
	check(w.t, os.WriteFile(path, aead.Seal(nonce, nonce, plain, nil), 0o600))
}
