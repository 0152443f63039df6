package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// sickHub is a hub whose disk has failed: it gives the first entry and then finds damage.
type sickHub struct {
	hubv1connect.UnimplementedHubServiceHandler
}

func (sickHub) Status(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	return &hubv1.StatusResponse{
		HubId: "h", Role: "leader", Head: 12, Entries: 12, StartedAt: timestamppb.Now(),
		Degraded: "no space left on device",
		Peers:    []*hubv1.Peer{{Address: "b:9900", Role: "follower", Head: 10}},
	}, nil
}

func (sickHub) Sync(_ context.Context, _ *hubv1.SyncRequest, out *connect.ServerStream[hubv1.SyncResponse]) error {
	entry := &hubv1.Entry{Sequence: 1, Id: "a", Type: "task", Content: "still readable", Origin: "api", Timestamp: timestamppb.Now()}
	if err := out.Send(&hubv1.SyncResponse{Entries: []*hubv1.Entry{entry}, Cursor: 1, Head: 12, HubId: "h"}); err != nil {
		return err
	}
	return connect.NewError(connect.CodeDataLoss, errors.New("entry 2 is damaged"))
}

func startSickHub(t *testing.T) (url string) {
	t.Helper()
	return serveFake(t, sickHub{})
}

func serveFake(t *testing.T, hub hubv1connect.HubServiceHandler) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(hubv1connect.NewHubServiceHandler(hub))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func TestStatusOfASickHub(t *testing.T) {
	url := startSickHub(t)
	code, stdout, stderr := inProcess(t, "hub", "status", "--exit-code", "--hub", url, "--token", "ctx_adm_x")
	for _, want := range []string{"takes entries  no: no space left on device", "b:9900  follower, 2 behind"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != exitError || !strings.Contains(stderr, "ctx: error: the hub takes no entries: no space left on device") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if code, _, _ := inProcess(t, "hub", "status", "--hub", url, "--token", "ctx_adm_x"); code != exitOK {
		t.Errorf("without --exit-code: exit code %d", code)
	}
	code, stdout, _ = inProcess(t, "hub", "status", "--json", "--exit-code", "--hub", url, "--token", "ctx_adm_x")
	var r hubReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Degraded == "" || len(r.Peers) != 1 || r.Peers[0].Lag != 2 || code != exitError {
		t.Errorf("%v, exit code %d, %+v", err, code, r)
	}
}

func TestASyncThatFailsOnTheWayIsDoneInPart(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	root := t.TempDir()
	t.Chdir(root)
	dir, err := project.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Save(&project.Connection{HubAddr: startSickHub(t), Project: "web", Token: "ctx_cli_x", Types: []string{"task"}}); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := inProcess(t, "connection", "sync")
	if code != exitPartial || !strings.Contains(stderr, "ctx: error: ") || !strings.Contains(stderr, "damaged") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	mirror, err := os.ReadFile(filepath.Join(root, ".context", "hub", "tasks.md"))
	if err != nil || strings.Count(string(mirror), "still readable") == 0 {
		t.Errorf("what had come is not kept: %v\n%s", err, mirror)
	}
}
