//go:build linux

package cli_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// nginx is the real one, in front of a hub.
type nginx struct {
	*process
	dir     string
	port    int
	url     string
	address string // as a user types it
	ca      string
}

// startNginx runs nginx with a server block as it stands in a file, but for names, ports and paths, which are the
// test's own. settings go around the block, where they are its defaults.
func startNginx(t *testing.T, h *testHub, block, settings string, more ...string) *nginx {
	t.Helper()
	program := need(t, "nginx")
	n := &nginx{dir: t.TempDir(), port: freePort(t)}
	n.address = "localhost:" + strconv.Itoa(n.port)
	n.url = "https://" + n.address
	cert, key := certificate(t, n.dir)
	n.ca = cert
	server, err := os.ReadFile(block)
	check(t, err)
	replacer := strings.NewReplacer(append([]string{
		"listen 443 ", "listen 127.0.0.1:" + strconv.Itoa(n.port) + " ",
		"/etc/letsencrypt/live/nexus.example.com/fullchain.pem", cert,
		"/etc/letsencrypt/live/nexus.example.com/privkey.pem", key,
		"grpc://127.0.0.1:9900", "grpc://" + h.address,
	}, more...)...)
	config := filepath.Join(n.dir, "nginx.conf")
	writeConfig(t, config, replacer.Replace(string(server)), settings)
	args := []string{"-p", n.dir, "-c", config, "-g", "daemon off;"}
	if out, err := exec.Command(program, append(args, "-t")...).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	n.process = start(t, exec.Command(program, args...))
	await(t, "nginx", func() bool {
		select {
		case <-n.ended:
			t.Fatalf("nginx ended: %s%s", n.stderr.String(), n.log("error.log"))
		default:
		}
		_, err := os.Stat(filepath.Join(n.dir, "nginx.pid"))
		return err == nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nginx's logs:\n%s%s", n.log("access.log"), n.log("error.log"))
		}
	})
	return n
}

func writeConfig(t *testing.T, path, server, settings string) {
	t.Helper()
	me, err := user.Current()
	check(t, err)
	group, err := user.LookupGroupId(me.Gid)
	check(t, err)
	frame, err := template.ParseFiles("testdata/frontdoor/nginx.conf.tmpl")
	check(t, err)
	f, err := os.Create(path)
	check(t, err)
	check(t, frame.Execute(f, map[string]string{"User": me.Username, "Group": group.Name, "Server": server, "Settings": settings}))
	check(t, f.Close())
}

func (n *nginx) log(name string) string {
	text, err := os.ReadFile(filepath.Join(n.dir, name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// client reaches the hub through nginx.
func (n *nginx) client(t *testing.T, token string) *client.Client {
	t.Helper()
	ca, err := os.ReadFile(n.ca)
	check(t, err)
	return newClient(t, client.Config{Addresses: []string{n.url}, Token: token, CACert: ca})
}

// joined is a workstation whose project is registered through nginx.
func joined(t *testing.T, h *testHub, n *nginx, project string) *workstation {
	t.Helper()
	w := newWorkstation(t, project)
	w.ctx("connection", "register", n.url, "--ca-cert", n.ca, "--token-file", w.write("admin.token", h.admin))
	w.ctx("connection", "subscribe", "decision", "learning")
	return w
}

const (
	seedBlock = "testdata/frontdoor/seed.conf"
	docsBlock = "../docs/nginx.conf"
)

// Every command works through the seed's own server block.
func TestFrontdoorNginxCommands(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "")
	x, y := joined(t, h, n, "x"), joined(t, h, n, "y")

	listener := x.listen()
	contains(t, y.ctx("connection", "publish", "decision", "Use UTC everywhere"), "published decision 1")
	await(t, "the entry in the listener's mirror", func() bool { return strings.Contains(x.mirror("decisions.md"), "Use UTC everywhere") })
	contains(t, x.mirror("decisions.md"), "**Origin**: y")
	listener.stop()
	contains(t, y.ctx("connection", "sync"), "1 new, level with the hub at 1")
	contains(t, y.ctx("connection", "status"), n.address, "leader", "sequence 1 of 1")

	// What the hub says no to, it says no to through nginx, too.
	y.ctx("connection", "publish", "--id", "mine", "decision", "Once")
	contains(t, y.fails(6, "connection", "publish", "--id", "mine", "decision", "Twice"), "id")
	admin := x.write("admin.token", h.admin)
	taken := newWorkstation(t, "x")
	contains(t, taken.fails(6, "connection", "register", n.url, "--ca-cert", n.ca, "--token-file", admin), "taken")
	contains(t, taken.fails(4, "connection", "register", n.url, "--ca-cert", n.ca, "--token-file", x.write("no.token", "ctx_adm_0")), "not valid")

	contains(t, x.ctx("hub", "status", "--hub", n.url, "--ca-cert", n.ca, "--token-file", admin), "sequence 2")
	contains(t, x.ctx("hub", "project", "list", "--hub", n.url, "--ca-cert", n.ca, "--token-file", admin), "x", "y")
	x.ctx("hub", "project", "revoke", "y", "--hub", n.url, "--ca-cert", n.ca, "--token-file", admin)
	for _, command := range [][]string{{"publish", "decision", "No longer"}, {"sync"}, {"listen"}, {"status"}} {
		contains(t, y.fails(4, append([]string{"connection"}, command...)...), "not valid")
	}

	stranger := newWorkstation(t, "z")
	contains(t, stranger.fails(8, "connection", "register", n.url, "--token-file", admin), "authority", "--ca-cert")
	sameContents(t, h, []string{"Use UTC everywhere", "Once"})
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in: %s", word, text)
		}
	}
}

// noise is text that gzip can do little with: one random character after the other, of one to four
// bytes, so that almost every value of a byte is as likely as the next.
func noise(size int) string {
	ranges := [...][2]rune{{0x20, 0x7f}, {0x20, 0x7f}, {0x80, 0x800}, {0x800, 0xd800}, {0x10000, 0x110000}}
	var b strings.Builder
	for b.Len() < size-4 {
		r := ranges[rand.N(len(ranges))]
		b.WriteRune(r[0] + rand.N(r[1]-r[0]))
	}
	for b.Len() < size {
		b.WriteByte('.')
	}
	return b.String()
}

func isError(t *testing.T, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	contains(t, err.Error(), words...)
}

const entryLimit = 1 << 20

// The seed's server block has nginx's default limit of 1 MiB on requests. The largest entry passes, since the client
// compresses it; what does not pass is refused in words that name the proxy.
func TestFrontdoorNginxLargestEntry(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "")
	w := joined(t, h, n, "x")
	texts := []string{strings.Repeat("All work and no play.\n", entryLimit/22), noise(entryLimit)}
	for i, text := range texts {
		contains(t, w.ctx("connection", "publish", "learning", "--file", w.write("entry", text)), "published learning "+strconv.Itoa(i+1))
	}
	sameContents(t, h, texts)

	// Two such entries in one request do not pass.
	_, err := n.client(t, h.register(t, "batch")).Publish(t.Context(), noiseEntry(), noiseEntry())
	isError(t, err, client.ErrTooLarge, "a proxy at "+n.url, "413")
	sameContents(t, h, texts)
}

// An operator's lower limit becomes a message that says who refuses and what to change.
func TestFrontdoorNginxRefusesSize(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "client_max_body_size 64k;")
	w := joined(t, h, n, "x")
	said := w.fails(1, "connection", "publish", "learning", "--file", w.write("entry", noise(100<<10)))
	contains(t, said, "proxy at "+n.url, "413", "client_max_body_size")
	contains(t, w.ctx("connection", "publish", "learning", "--file", w.write("entry", noise(32<<10))), "published learning 1")
}

// The server block of the docs is good as it stands, and lets the largest entry and the largest batch pass.
func TestFrontdoorNginxDocsBlock(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, docsBlock, "")
	w := joined(t, h, n, "x")
	text := noise(entryLimit)
	listener := w.listen()
	w.ctx("connection", "publish", "learning", "--file", w.write("entry", text))
	await(t, "the entry in the listener's mirror", func() bool { return len(w.mirror("learnings.md")) > entryLimit })
	listener.stop()

	batch := []*hubv1.NewEntry{noiseEntry(), noiseEntry(), noiseEntry(), noiseEntry()}
	_, err := n.client(t, h.register(t, "batch")).Publish(t.Context(), batch...)
	check(t, err)
	want := []string{text}
	for _, e := range batch {
		want = append(want, e.GetContent())
	}
	sameContents(t, h, want)
}

func noiseEntry() *hubv1.NewEntry {
	return &hubv1.NewEntry{Id: client.NewID(), Type: "learning", Content: noise(entryLimit)}
}

func sameContents(t *testing.T, h *testHub, want []string) {
	t.Helper()
	got := h.entries(t)
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i, e := range got {
		if e.GetContent() != want[i] {
			t.Errorf("entry %d is not what was published", i+1)
		}
	}
}
