//go:build linux

// The front-door tests come to a hub from outside, as users do: through the real ctx, nginx, curl and Chromium, each
// a process of its own. They are for Linux, whose packages they name and whose kernel ends such a process even when
// the tests themselves are killed.
package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server"
)

// patience is how long anything may take that should happen soon; only a failing test waits for so long.
const patience = 30 * time.Second

// packages have the programs whose names are not their own.
var packages = map[string]string{"promtool": "prometheus", "mkfs.ext4": "e2fsprogs", "systemd-analyze": "systemd", "systemctl": "systemd", "fsfreeze": "util-linux"}

// need finds a program. Where all tests must run, a missing one is a failure.
func need(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} { // Debian keeps nginx out of users' PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	pkg := program
	if other, ok := packages[program]; ok {
		pkg = other
	}
	missing := fmt.Sprintf("%s is not installed: apt-get install %s", program, pkg)
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await polls until ask is true.
func await(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ask() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// process is a program that runs beside the test and never outlives it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	ended  chan struct{}
	stdout transcript
	stderr transcript
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	// A group of its own, so that children go with it. SIGTERM lets nginx take its workers along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = patience
	check(t, cmd.Start())
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Errorf("%s: %s", cmd.Path, p.stderr.String())
		}
	})
	return p
}

// stop ends the process in its own way, or else by force.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%s does not end on SIGTERM", p.cmd.Path)
		p.kill()
	}
}

func (p *process) kill() {
	select {
	case <-p.ended:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

func (p *process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %s: %v", p.cmd.Path, err)
	}
}

// transcript is what a process has written so far.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// testHub is a hub in a process of its own, which can be stopped and started again.
type testHub struct {
	*process
	dir     string
	address string // host:port
	admin   string
	flags   []string
	env     []string
}

func startHub(t *testing.T, flags ...string) *testHub {
	t.Helper()
	return startHubIn(t, filepath.Join(t.TempDir(), "hub-data"), flags...)
}

func startHubIn(t *testing.T, dir string, flags ...string) *testHub {
	t.Helper()
	h := &testHub{dir: dir, flags: flags}
	h.up(t)
	return h
}

// up starts it for the first time.
func (h *testHub) up(t *testing.T) {
	t.Helper()
	h.start(t, "0")
	local, err := server.FindLocal(h.dir)
	check(t, err)
	h.address, h.admin = strings.TrimPrefix(local.URL, "http://"), local.AdminToken
}

func (h *testHub) start(t *testing.T, port string) {
	t.Helper()
	args := append([]string{"hub", "start", "--bind", "127.0.0.1", "--port", port, "--data-dir", h.dir}, h.flags...)
	cmd := exec.Command("ctx", args...)
	cmd.Env = append(cleanEnv(t.TempDir()), h.env...)
	h.process = start(t, cmd)
	await(t, "the hub", func() bool {
		select {
		case <-h.ended:
			t.Fatalf("the hub ended: %s", h.stderr.String())
		default:
		}
		return strings.Contains(h.stdout.String(), "ctx hub is up")
	})
}

// restart starts a hub that was stopped where it was.
func (h *testHub) restart(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(h.address)
	check(t, err)
	h.start(t, port)
}

// client talks to the hub itself, past any proxy.
func (h *testHub) client(t *testing.T, token string) *client.Client {
	t.Helper()
	return newClient(t, client.Config{Addresses: []string{h.address}, Token: token})
}

func newClient(t *testing.T, config client.Config) *client.Client {
	t.Helper()
	c, err := client.New(config)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

// register makes a project and returns its token.
func (h *testHub) register(t *testing.T, project string) string {
	t.Helper()
	res, err := h.client(t, h.admin).Register(t.Context(), &hubv1.RegisterRequest{Project: project})
	check(t, err)
	return res.GetToken()
}

// entries are all that the hub has stored.
func (h *testHub) entries(t *testing.T) []*hubv1.Entry {
	t.Helper()
	var all []*hubv1.Entry
	for res, err := range h.client(t, h.register(t, "reader-"+client.NewID())).Sync(t.Context(), &hubv1.SyncRequest{}) {
		check(t, err)
		all = append(all, res.GetEntries()...)
	}
	return all
}

// certificate writes a self-signed certificate for the names that nginx has in the tests.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	check(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}
