package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// doctoredHub is a hub with something wrong with it.
type doctoredHub struct {
	hubv1connect.UnimplementedHubServiceHandler
	status hubv1.StatusResponse
	skew   time.Duration
	silent bool          // its streams are refused
	held   time.Duration // its first message, as by a proxy that buffers
}

func (h *doctoredHub) Status(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	res := &hubv1.StatusResponse{HubId: "h" + h.status.HubId, Project: "web", Degraded: h.status.Degraded, Head: h.status.Head}
	if h.skew != 0 {
		res.Now = timestamppb.New(time.Now().Add(h.skew))
	}
	return res, nil
}

func (h *doctoredHub) Sync(context.Context, *hubv1.SyncRequest, *connect.ServerStream[hubv1.SyncResponse]) error {
	return connect.NewError(connect.CodeInvalidArgument, errors.New("unknown type"))
}

func (h *doctoredHub) Listen(ctx context.Context, _ *hubv1.ListenRequest, out *connect.ServerStream[hubv1.ListenResponse]) error {
	if h.silent {
		return connect.NewError(connect.CodeUnavailable, errors.New("the hub is going down"))
	}
	time.Sleep(h.held)
	if err := out.Send(&hubv1.ListenResponse{HubId: "h"}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// joinTo makes a project whose hub is at the address, and goes there.
func joinTo(t *testing.T, address string, peers ...string) *project.Dir {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	root := t.TempDir()
	t.Chdir(root)
	dir, err := project.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	conn := &project.Connection{HubAddr: address, Peers: peers, Project: "web", Token: "ctx_cli_x", Types: []string{"task"}}
	if err := dir.Save(conn); err != nil {
		t.Fatal(err)
	}
	return dir
}

func serveDoctored(t *testing.T, h *doctoredHub) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(hubv1connect.NewHubServiceHandler(h))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// findingOf is what a doctor says of one check.
func findingOf(t *testing.T, stdout, name string) finding {
	t.Helper()
	var d diagnosis
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	for _, f := range d.Checks {
		if f.Check == name {
			return f
		}
	}
	t.Fatalf("no check %q in %s", name, stdout)
	return finding{}
}

func TestDoctorComparesClocks(t *testing.T) {
	for _, tt := range []struct {
		skew time.Duration
		want verdict
		code int
		seen string
	}{
		{time.Second, verdictOK, exitOK, "ahead of the one here"},
		{-50 * time.Second, verdictOK, exitOK, "behind the one here"},
		{-70 * time.Second, verdictProblem, exitError, "1 min 10 s behind the one here"},
		{2 * time.Hour, verdictProblem, exitError, "2 h 0 min ahead of the one here"},
		{0, verdictUnseen, exitOK, "does not tell its time"},
	} {
		joinTo(t, serveDoctored(t, &doctoredHub{skew: tt.skew}))
		code, stdout, _ := inProcess(t, "connection", "doctor", "--json")
		f := findingOf(t, stdout, "clock")
		if f.Verdict != tt.want || code != tt.code || !strings.Contains(f.Seen, tt.seen) {
			t.Errorf("%s off: exit code %d, %+v", tt.skew, code, f)
		}
		if tt.want == verdictProblem && !strings.Contains(f.Next, "timedatectl") {
			t.Errorf("%s off: the next step is %q", tt.skew, f.Next)
		}
	}
}

func TestDoctorSeesAHubThatTakesNoEntries(t *testing.T) {
	h := &doctoredHub{}
	h.status.Degraded = "no space left on device"
	joinTo(t, serveDoctored(t, h))
	code, stdout, _ := inProcess(t, "connection", "doctor", "--json")
	if f := findingOf(t, stdout, "takes entries"); f.Verdict != verdictProblem || !strings.Contains(f.Seen, "no space left") || code != exitError {
		t.Errorf("exit code %d, %+v", code, f)
	}
}

func TestDoctorSeesAStreamThatIsNotServed(t *testing.T) {
	joinTo(t, serveDoctored(t, &doctoredHub{silent: true}))
	code, stdout, _ := inProcess(t, "connection", "doctor", "--json")
	if f := findingOf(t, stdout, "first message"); f.Verdict != verdictProblem || code != exitUnreachable {
		t.Errorf("exit code %d, %+v", code, f)
	}
}

// A first message that comes late is one that something holds back: a hub's own leaves at once.
func TestDoctorSeesMessagesHeldBack(t *testing.T) {
	joinTo(t, serveDoctored(t, &doctoredHub{held: firstWithin + 200*time.Millisecond}))
	code, stdout, _ := inProcess(t, "connection", "doctor", "--json")
	if f := findingOf(t, stdout, "first message"); f.Verdict != verdictProblem || !strings.Contains(f.Seen, "holds messages back") || code != exitError {
		t.Errorf("exit code %d, %+v", code, f)
	}
	if f := findingOf(t, stdout, "idle stream"); f.Verdict != verdictUnseen {
		t.Errorf("%+v", f)
	}
}

// A stream that is open and has no heartbeats is told from one that has.
func TestDoctorMissesHeartbeats(t *testing.T) {
	joinTo(t, serveDoctored(t, &doctoredHub{}))
	_, stdout, _ := inProcess(t, "connection", "doctor", "--json", "--idle", "100ms")
	if f := findingOf(t, stdout, "idle stream"); f.Verdict != verdictWarning || !strings.Contains(f.Seen, "without a heartbeat") {
		t.Errorf("%+v", f)
	}
}

// What answers in the hub's place is named.
func TestDoctorNamesStrangers(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "Caddy")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(web.Close)
	ssh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ssh.Close() })
	go func() {
		for {
			conn, err := ssh.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
			time.AfterFunc(50*time.Millisecond, func() { _ = conn.Close() })
		}
	}()
	for address, words := range map[string]string{web.URL: "Caddy", ssh.Addr().String(): "SSH-2.0-OpenSSH"} {
		joinTo(t, address)
		code, stdout, _ := inProcess(t, "connection", "doctor", "--json")
		f := findingOf(t, stdout, "hub")
		if f.Verdict != verdictProblem || !strings.Contains(f.Seen, words) || code != exitUnreachable {
			t.Errorf("%s: exit code %d, %+v", address, code, f)
		}
	}
}

// A peer that is another hub is a problem, even if all is well with the first address.
func TestDoctorAsksPeers(t *testing.T) {
	one := serveDoctored(t, &doctoredHub{})
	joinTo(t, one, serveDoctored(t, &doctoredHub{}))
	if code, stdout, _ := inProcess(t, "connection", "doctor", "--json"); findingOf(t, stdout, "peers").Verdict != verdictOK || code != exitOK {
		t.Errorf("a good peer: exit code %d, %s", code, stdout)
	}
	joinTo(t, one, startSickHub(t), "127.0.0.1:1")
	code, stdout, _ := inProcess(t, "connection", "doctor", "--json")
	if f := findingOf(t, stdout, "peers"); f.Verdict != verdictWarning || !strings.Contains(f.Seen, "127.0.0.1:1: nothing can be reached") || code != exitOK {
		t.Errorf("a dead peer: exit code %d, %+v", code, f)
	}
	other := &doctoredHub{}
	other.status.HubId = "another"
	joinTo(t, one, serveDoctored(t, other))
	code, stdout, _ = inProcess(t, "connection", "doctor", "--json")
	if f := findingOf(t, stdout, "peers"); f.Verdict != verdictProblem || !strings.Contains(f.Seen, "another hub") || code != exitError {
		t.Errorf("another hub: exit code %d, %+v", code, f)
	}
}

func TestCertificatesThatEndSoon(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cert := func(days int) *x509.Certificate {
		return &x509.Certificate{DNSNames: []string{"hub.example"}, NotAfter: now.Add(time.Duration(days) * 24 * time.Hour)}
	}
	for _, tt := range []struct {
		name   string
		chains [][]*x509.Certificate
		want   verdict
	}{
		{"long", [][]*x509.Certificate{{cert(90), cert(900)}}, verdictOK},
		{"the server's", [][]*x509.Certificate{{cert(29), cert(900)}}, verdictWarning},
		{"the authority's", [][]*x509.Certificate{{cert(90), cert(3)}}, verdictWarning},
		{"another authority's is good", [][]*x509.Certificate{{cert(90), cert(3)}, {cert(90), cert(900)}}, verdictOK},
		{"none", nil, verdictUnseen},
	} {
		if got := judgeChain(tt.chains, now); got.Verdict != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

// The exit code is that of the problems, if they have one in common; a check without what it needs is not made.
func TestExamine(t *testing.T) {
	auth, gone := wrong("next", "seen").code(exitAuth), wrong("next", "seen").code(exitUnreachable)
	for _, tt := range []struct {
		name     string
		findings []finding
		want     int
	}{
		{"well", []finding{fine("seen"), doubt("next", "seen"), unseen("why")}, exitOK},
		{"one kind", []finding{auth, fine("seen"), auth}, exitAuth},
		{"two kinds", []finding{auth, gone}, exitError},
	} {
		var checks []check[int]
		for i, f := range tt.findings {
			checks = append(checks, check[int]{name: string(rune('a' + i)), look: func(*int, context.Context) finding { return f }})
		}
		sys := &system{out: &output{w: new(strings.Builder)}, err: new(strings.Builder), env: func(string) string { return "" }}
		err := examine(t.Context(), sys, false, new(int), checks)
		code := exitOK
		if err != nil {
			code = explain(err).Exit
		}
		if code != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, code, tt.want)
		}
	}
	made := 0
	look := func(f finding) func(*int, context.Context) finding {
		return func(*int, context.Context) finding { made++; return f }
	}
	checks := []check[int]{{"a", "", look(gone)}, {"b", "a", look(fine("seen"))}, {"c", "b", look(fine("seen"))}, {"d", "", look(doubt("n", "s"))}, {"e", "d", look(fine("seen"))}}
	sys := &system{out: &output{w: new(strings.Builder)}, err: new(strings.Builder), env: func(string) string { return "" }}
	if err := examine(t.Context(), sys, true, new(int), checks); explain(err).Exit != exitUnreachable || made != 3 {
		t.Errorf("%d checks were made, %v", made, err)
	}
}
