package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server"
	"ctxhub/server/store"
)

type hubDoctor struct {
	dataDir
	Port int  `default:"9900" placeholder:"N" help:"Port to look at when no hub runs (${default})."`
	JSON bool `name:"json" help:"Write JSON."`
}

func (*hubDoctor) Help() string {
	return `Run it on the hub's host, as the hub's user or as root, whether the hub runs or not. It looks at the data directory, the disk, the process, the port, the network, the certificate, the clock and the service, and changes nothing. What only another user can see is not checked, with the reason.

Exits with 0 if there is no problem (there may be warnings), with 8 if the only problem is that no hub answers, and otherwise with 1.

Examples:

    ctx hub doctor
    ctx hub doctor --data-dir /srv/hub
    sudo ctx hub doctor --data-dir /home/ada/.ctx/hub-data --json`
}

// host is what the checks of a hub's host know together.
type host struct {
	command *hubDoctor
	dir     string
	names   []fs.DirEntry // in dir

	local  server.Local
	hub    *theHub
	at     client.Address
	status *hubv1.StatusResponse
	open   []string // addresses of this host's, not of loopback, at which the hub takes connections
}

func (c *hubDoctor) Run(ctx context.Context, sys *system) error {
	dir, err := c.path()
	if err != nil {
		return err
	}
	if c.Port < 1 || c.Port > 65535 {
		return usage("ctx hub doctor --port 9900", "--port must be 1 to 65535, not %d", c.Port)
	}
	h := &host{command: c, dir: dir}
	defer h.close()
	return examine(ctx, sys, c.JSON, h, hubChecks)
}

var hubChecks = []check[host]{
	{"data directory", "", (*host).lookAtDir},
	{"process", "data directory", (*host).lookForProcess},
	{"port", "", (*host).lookAtPort},
	{"HTTP/2", "process", (*host).askHTTP2},
	{"HTTP/1.1", "process", (*host).askHTTP1},
	{"takes entries", "HTTP/2", (*host).lookAtHealth},
	{"network", "process", (*host).lookAtNetwork},
	{"firewall", "network", (*host).lookAtFirewall},
	{"certificate", "process", (*host).lookAtCertificate},
	{"modes", "data directory", (*host).lookAtModes},
	{"owner", "data directory", (*host).lookAtOwner},
	{"file system", "data directory", (*host).lookAtFileSystem},
	{"disk space", "data directory", (*host).lookAtSpace},
	{"admin token", "data directory", (*host).lookAtToken},
	{"clock", "data directory", (*host).lookAtClock},
	{"open files", "process", (*host).lookAtOpenFiles},
	{"service", "", (*host).lookAtService},
	{"hub.log", "data directory", (*host).lookAtLog},
	{"leftover files", "data directory", (*host).lookForLeftovers},
}

func (h *host) close() {
	if h.hub != nil {
		h.hub.Close()
	}
}

func (h *host) lookForProcess(context.Context) finding {
	var err error
	h.local, err = server.FindLocal(h.dir)
	switch {
	case errors.Is(err, server.ErrNotRunning) && h.has("hub.pid"):
		return wrong(h.command.command("ctx hub start --daemon"), "no hub runs here; the last one was killed, or its machine went down").code(exitUnreachable)
	case errors.Is(err, server.ErrNotRunning):
		return broken(h.command.notRunning(err)).code(exitUnreachable)
	case err != nil && h.local.URL == "": // with one, it is the token that cannot be read, of which another check tells
		return wrong(h.command.command("ctx hub stop")+", or kill the process that holds hub.lock: fuser -v "+shellWord(h.dir)+"/hub.lock", "%s", sentence(err))
	case !isAlive(h.local.PID):
		return wrong("fuser -v "+shellWord(h.dir)+"/hub.lock",
			"the data directory is locked, but process %d, which hub.pid names, is not there", h.local.PID)
	}
	if h.at, err = client.ParseAddress(h.local.URL); err != nil {
		return broken(err)
	}
	return fine("a hub runs as process %d at %s", h.local.PID, h.local.URL)
}

// has tells whether the data directory has a file of this name.
func (h *host) has(name string) bool {
	for _, n := range h.names {
		if n.Name() == name {
			return true
		}
	}
	return false
}

const restart = "the hub's log says more; then restart it: ctx hub stop; ctx hub start --daemon"

func (h *host) askHTTP2(ctx context.Context) finding {
	if h.local.AdminToken == "" {
		return unseen("the admin token cannot be read, and without one the hub says nothing")
	}
	var err error
	if h.hub, err = dialLocal(h.local, client.Config{Timeout: statusTimeout, RetryFor: -1}); err != nil {
		return broken(err)
	}
	sent := time.Now()
	if h.status, err = h.hub.Status(ctx); err != nil {
		return broken(&advice{err: err, hint: restart}).code(exitUnreachable)
	}
	return fine("answers gRPC after %s, version %s", fineSpan(time.Since(sent)), h.status.GetVersion())
}

func (h *host) askHTTP1(ctx context.Context) finding {
	secure, err := h.secure()
	if err != nil {
		return broken(err)
	}
	answer, err := askOverHTTP(ctx, h.at, "", secure, onlyHTTP1())
	switch {
	case err != nil && ctx.Err() == nil && isTimeout(err):
		return wrong(restart, "no answer within %s", span(probeTimeout)).code(exitUnreachable)
	case err != nil:
		return wrong(restart, "no answer: %s", dialReason(err)).code(exitUnreachable)
	case !answer.hub:
		return wrong(restart, "what answers at %s with %s is no hub", h.at, answer.status).code(exitUnreachable)
	}
	return fine("answers JSON, as to curl")
}

// secure trusts the certificate in the hub's own file, by whatever name; nil for plaintext.
func (h *host) secure() (*tls.Config, error) {
	if h.local.TLSCert == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	text, err := readCert(h.local.TLSCert)
	if err != nil {
		return nil, err
	}
	name, err := nameIn(text)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}, nil
}

func (h *host) lookAtHealth(context.Context) finding {
	if why := h.status.GetDegraded(); why != "" {
		return wrong(lookAtLog, "no: %s", why)
	}
	return fine("yes: %s, %s", plural(h.status.GetEntries(), "entry", "entries"), plural(h.status.GetListeners(), "listener", "listeners"))
}

// lookAtClock compares with the last entry, which was stamped by this very clock.
func (h *host) lookAtClock(context.Context) finding {
	sequence, at, err := store.LastEntry(h.dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unseen("%s", sentence(err))
	case err != nil:
		return broken(err)
	case sequence == 0:
		return fine("%s; there is no entry to compare it with", time.Now().Format(time.DateTime))
	}
	if ahead := time.Until(at); ahead > time.Second {
		return wrong("timedatectl; to set it: timedatectl set-ntp true", "it stands %s before entry %s, the last one", span(ahead), count(sequence))
	}
	return fine("%s; the last entry is of %s", time.Now().Format(time.DateTime), at.Local().Format(time.DateTime))
}

// lookAtOpenFiles compares the process's limit with what a hub may have open: a connection for each stream.
func (h *host) lookAtOpenFiles(context.Context) finding {
	const others = 256 // files and connections that are no streams
	limit, used, err := openFiles(h.local.PID)
	if err != nil {
		return unseen("%s", sentence(err))
	}
	next := "in the unit: LimitNOFILE=65536 (ctx hub install-service writes one); otherwise before ctx hub start: ulimit -n 65536"
	switch streams := uint64(server.DefaultMaxStreams); {
	case used > limit-limit/10:
		return wrong(next, "%s of %s are in use: connections are about to be refused", count(used), count(limit))
	case limit < streams+others:
		return doubt(next, "at most %s, which is not enough for %s streams; %s are in use", count(limit), count(streams), count(used))
	}
	return fine("at most %s, %s are in use", count(limit), count(used))
}

// lookAtService asks systemd, the system's and the user's own, whether the hub comes back after a restart of the machine.
func (h *host) lookAtService(ctx context.Context) finding {
	asked := false
	for _, scope := range []string{"--system", "--user"} {
		unit, err := showUnit(ctx, scope)
		if err != nil {
			continue
		}
		asked = true
		if unit["LoadState"] == "loaded" && strings.Contains(unit["ExecStart"], h.dir) {
			return h.judgeUnit(unit, scope)
		}
	}
	if !asked {
		return unseen("there is no systemd to ask")
	}
	return doubt(h.command.command("sudo ctx hub install-service"), "no unit for this data directory: after a restart of the machine no hub runs")
}

func (h *host) judgeUnit(unit map[string]string, scope string) finding {
	systemctl, journal := "sudo systemctl", "journalctl -u "
	if scope == "--user" {
		systemctl, journal = "systemctl --user", "journalctl --user -u "
	}
	active := unit["ActiveState"]
	switch {
	case active == "failed":
		return wrong(journal+unitName+" -n 50; then: "+systemctl+" restart "+unitName, "%s has failed (%s)", unitName, unit["Result"])
	case active != "active" && h.local.PID == 0:
		return wrong(systemctl+" enable --now "+unitName, "%s is %s", unitName, active)
	case active == "active" && h.local.PID != 0 && unit["MainPID"] != strconv.Itoa(h.local.PID),
		active != "active" && h.local.PID != 0:
		return doubt(h.command.command("ctx hub stop")+"; "+systemctl+" restart "+unitName, "the hub was started by hand, and %s is %s beside it", unitName, active)
	case unit["UnitFileState"] != "enabled":
		return doubt(systemctl+" enable "+unitName, "%s is active, but does not start with the machine (%s)", unitName, unit["UnitFileState"])
	case unit["NRestarts"] != "" && unit["NRestarts"] != "0":
		return doubt(journal+unitName, "%s is active, and was started again %s times after it had failed", unitName, unit["NRestarts"])
	}
	return fine("%s is active and starts with the machine", unitName)
}

// isRoot is false where there is no such user.
func isRoot() bool { return os.Geteuid() == 0 }
