package cli

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server"
)

// runHub serves a hub in this process until the test ends.
func runHub(t *testing.T, config server.Config) server.Local {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan server.Started, 1), make(chan error, 1)
	config.Bind, config.Ready = "127.0.0.1", func(s server.Started) { ready <- s }
	go func() { ended <- server.Run(ctx, config) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	local, err := server.FindLocal(config.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	return local
}

// A hub that refuses entries is told apart from one that takes them.
func TestHubDoctorSeesAHubThatTakesNoEntries(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub-data")
	local := runHub(t, server.Config{DataDir: dir, DiskReserve: 1 << 62})
	admin, err := dialLocal(local, client.Config{RetryFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	res, err := admin.Register(t.Context(), &hubv1.RegisterRequest{Project: "api"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Addresses: []string{local.URL}, Token: res.GetToken(), RetryFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Publish(t.Context(), &hubv1.NewEntry{Type: "task", Content: "x"}); err == nil {
		t.Fatal("a hub without room has taken an entry")
	}
	code, stdout, _ := inProcess(t, "hub", "doctor", "--data-dir", dir, "--json")
	if f := findingOf(t, stdout, "takes entries"); f.Verdict != verdictProblem || f.Next == "" || code != exitError {
		t.Errorf("exit code %d, %+v", code, f)
	}
}

func TestJudgeSpace(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		name    string
		disk    disk
		reserve uint64
		want    verdict
	}{
		{"plenty", disk{free: 10 * gib, inodes: 1e6, freeInodes: 1e5}, gib, verdictOK},
		{"no limit on inodes", disk{free: 10 * gib}, 0, verdictOK},
		{"below the reserve", disk{free: gib - 1}, gib, verdictProblem},
		{"near the reserve", disk{free: gib + 1}, gib, verdictWarning},
		{"scarce", disk{free: 100 << 20}, 0, verdictWarning},
		{"full", disk{}, 0, verdictProblem},
		{"no inode", disk{free: 10 * gib, inodes: 1e6}, 0, verdictProblem},
		{"few inodes", disk{free: 10 * gib, inodes: 1e6, freeInodes: 9}, 0, verdictWarning},
	} {
		if got := judgeSpace(tt.disk, tt.reserve); got.Verdict != tt.want || got.Verdict == verdictProblem && got.Next == "" {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestHubDoctorLooksAtFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"entries.jsonl", "hub.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &host{command: &hubDoctor{dataDir: dataDir{DataDir: dir}}, dir: dir}
	if got := h.lookAtDir(t.Context()); got.Verdict != verdictOK {
		t.Fatalf("%+v", got)
	}
	if got := h.lookAtLog(t.Context()); got.Verdict != verdictOK {
		t.Errorf("a short log: %+v", got)
	}
	if err := os.Truncate(filepath.Join(dir, "hub.log"), 101<<20); err != nil { // a hole, which takes no room
		t.Fatal(err)
	}
	if got := h.lookAtLog(t.Context()); got.Verdict != verdictWarning || !strings.Contains(got.Next, "truncate") {
		t.Errorf("a long log: %+v", got)
	}
	if !isRoot() {
		return
	}
	if got := h.lookAtOwner(t.Context()); got.Verdict != verdictOK {
		t.Errorf("one owner: %+v", got)
	}
	if err := os.Chown(filepath.Join(dir, "entries.jsonl"), 54321, -1); err != nil {
		t.Fatal(err)
	}
	if got := h.lookAtOwner(t.Context()); got.Verdict != verdictProblem || !strings.Contains(got.Seen, "entries.jsonl (54321)") || !strings.Contains(got.Next, "chown -R root") {
		t.Errorf("two owners: %+v", got)
	}
}

func TestJudgeFileSystem(t *testing.T) {
	for kind, want := range map[string]verdict{"ext4": verdictOK, "tmpfs": verdictWarning, "nfs": verdictWarning, "fuse": verdictWarning, "": verdictUnseen} {
		if got := judgeFileSystem(kind); got.Verdict != want {
			t.Errorf("%q: %+v", kind, got)
		}
	}
}

func TestJudgeNetwork(t *testing.T) {
	open := []string{"192.0.2.1:9900"}
	for _, tt := range []struct {
		open   []string
		secure bool
		want   verdict
	}{{nil, false, verdictOK}, {open, true, verdictOK}, {open, false, verdictWarning}} {
		if got := judgeNetwork(tt.open, tt.secure); got.Verdict != tt.want {
			t.Errorf("%v, %v: %+v", tt.open, tt.secure, got)
		}
	}
}

func TestJudgeLeaf(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for _, tt := range []struct {
		from, until time.Time
		want        verdict
	}{
		{day(-1), day(31), verdictOK}, {day(-1), day(29), verdictWarning}, {day(-9), day(-1), verdictProblem}, {day(1), day(90), verdictProblem},
	} {
		if got := judgeLeaf(&x509.Certificate{NotBefore: tt.from, NotAfter: tt.until}, "renew", now); got.Verdict != tt.want {
			t.Errorf("%s to %s: %+v", tt.from, tt.until, got)
		}
	}
}

// fakePrograms puts scripts in the place of the system's programs.
func fakePrograms(t *testing.T, scripts map[string]string) {
	t.Helper()
	bin := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
}

const (
	nftDrops = `echo 'table inet filter { chain input { type filter hook input priority filter; policy drop;'; echo '%s } }'`
	ufwOn    = `echo 'Status: active'; echo; echo '22/tcp   ALLOW   Anywhere'; echo '%s'`
)

func TestFirewalls(t *testing.T) {
	if os.PathSeparator != '/' {
		return // the scripts are for a shell
	}
	h := &host{open: []string{"192.0.2.1:9900"}}
	h.at.Port = 9900
	for _, tt := range []struct {
		name    string
		scripts map[string]string
		want    verdict
		next    string
	}{
		{"ufw in the way", map[string]string{"ufw": strings.Replace(ufwOn, "%s", "", 1)}, verdictWarning, "sudo ufw allow 9900/tcp"},
		{"another port", map[string]string{"ufw": strings.Replace(ufwOn, "%s", "19900/tcp  ALLOW  Anywhere", 1)}, verdictWarning, "sudo ufw allow 9900/tcp"},
		{"ufw open", map[string]string{"ufw": strings.Replace(ufwOn, "%s", "9900/tcp   ALLOW   Anywhere", 1)}, verdictOK, ""},
		{"firewalld in the way", map[string]string{"firewall-cmd": `[ "$1" = --state ] && echo running`}, verdictWarning, "--add-port=9900/tcp"},
		{"firewalld open", map[string]string{"firewall-cmd": `echo running`}, verdictOK, ""},
		{"nftables in the way", map[string]string{"nft": strings.Replace(nftDrops, "%s", "tcp dport 22 accept", 1)}, verdictWarning, "dport 9900"},
		{"nftables open", map[string]string{"ufw": "echo 'Status: inactive'", "nft": strings.Replace(nftDrops, "%s", "tcp dport { 22, 9900 } accept", 1)}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakePrograms(t, tt.scripts)
			want := tt.want
			if want == "" { // nothing in the way, which only root can be sure of
				if want = verdictUnseen; isRoot() {
					want = verdictOK
				}
			}
			if got := h.lookAtFirewall(t.Context()); got.Verdict != want || !strings.Contains(got.Next, tt.next) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestServices(t *testing.T) {
	if os.PathSeparator != '/' {
		return // the scripts are for a shell
	}
	const unit = `cat <<END
LoadState=loaded
ActiveState=%active
UnitFileState=%enabled
MainPID=%pid
NRestarts=%restarts
Result=exit-code
ExecStart={ path=/usr/bin/ctx ; argv[]=/usr/bin/ctx hub start --data-dir %dir ; }
END`
	for _, tt := range []struct {
		name, active, enabled, pid, restarts, dir string
		running                                   int
		want                                      verdict
		next                                      string
	}{
		{"well", "active", "enabled", "7", "0", "/srv/hub", 7, verdictOK, ""},
		{"not at start", "active", "disabled", "7", "0", "/srv/hub", 7, verdictWarning, "systemctl enable"},
		{"started again", "active", "enabled", "7", "3", "/srv/hub", 7, verdictWarning, "journalctl"},
		{"by hand", "inactive", "enabled", "0", "0", "/srv/hub", 7, verdictWarning, "ctx hub stop"},
		{"down", "inactive", "enabled", "0", "0", "/srv/hub", 0, verdictProblem, "enable --now"},
		{"failed", "failed", "enabled", "0", "5", "/srv/hub", 0, verdictProblem, "journalctl"},
		{"another hub's", "active", "enabled", "8", "0", "/elsewhere", 7, verdictWarning, "install-service"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script := strings.NewReplacer("%active", tt.active, "%enabled", tt.enabled, "%pid", tt.pid, "%restarts", tt.restarts, "%dir", tt.dir).Replace(unit)
			cat, err := os.ReadFile("/bin/cat")
			if err != nil {
				t.Fatal(err)
			}
			fakePrograms(t, map[string]string{"systemctl": script})
			if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "cat"), cat, 0o700); err != nil {
				t.Fatal(err)
			}
			h := &host{command: &hubDoctor{dataDir: dataDir{DataDir: defaultDataDir}}, dir: "/srv/hub", local: server.Local{PID: tt.running}}
			if got := h.lookAtService(t.Context()); got.Verdict != tt.want || !strings.Contains(got.Next, tt.next) {
				t.Errorf("%+v", got)
			}
		})
	}
	fakePrograms(t, map[string]string{"systemctl": "exit 1"})
	if got := (&host{}).lookAtService(t.Context()); got.Verdict != verdictUnseen {
		t.Errorf("without systemd: %+v", got)
	}
}
