package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// lateHub is a hub whose log begins late, since an archive was taken away, and whose disk is full for a while.
type lateHub struct {
	hubv1connect.UnimplementedHubServiceHandler
	id   string
	gone uint64
	full bool
	log  []string // ids
}

func (h *lateHub) Status(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	return &hubv1.StatusResponse{HubId: h.id, Role: "leader", Head: uint64(len(h.log)), Oldest: h.gone + 1}, nil
}

func (h *lateHub) Publish(_ context.Context, req *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	if h.full {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("no space left on device"))
	}
	res := &hubv1.PublishResponse{}
	for _, e := range req.GetEntries() {
		h.log = append(h.log, e.GetId())
		res.Sequences = append(res.Sequences, uint64(len(h.log)))
	}
	return res, nil
}

func (h *lateHub) Sync(_ context.Context, req *hubv1.SyncRequest, out *connect.ServerStream[hubv1.SyncResponse]) error {
	res := &hubv1.SyncResponse{Cursor: uint64(len(h.log)), Head: uint64(len(h.log)), HubId: h.id}
	after := req.GetAfter()
	if after < h.gone {
		if !req.GetSkipMissing() {
			return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("entries up to %d were taken out of the archive", h.gone))
		}
		after, res.Skipped = h.gone, h.gone
	}
	for i := after; i < res.GetHead(); i++ {
		res.Entries = append(res.Entries, &hubv1.Entry{
			Sequence: i + 1, Id: h.log[i], Type: "task", Content: "text", Origin: "web", Timestamp: timestamppb.Now(),
		})
	}
	return out.Send(res)
}

func (h *lateHub) Listen(_ context.Context, req *hubv1.ListenRequest, _ *connect.ServerStream[hubv1.ListenResponse]) error {
	if req.GetAfter() < h.gone {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("entries up to %d were taken out of the archive", h.gone))
	}
	return connect.NewError(connect.CodeUnauthenticated, errors.New("this is all that is wanted of it"))
}

// joined is a project that is connected to a hub, in the working directory.
func joined(t *testing.T, hub hubv1connect.HubServiceHandler) (*project.Dir, *project.Connection) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	root := t.TempDir()
	t.Chdir(root)
	dir, err := project.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	conn := &project.Connection{HubAddr: serveFake(t, hub), Project: "web", Token: "ctx_cli_x", HubID: "h", Types: []string{"task"}}
	if err := dir.Save(conn); err != nil {
		t.Fatal(err)
	}
	return dir, conn
}

// A hub that lost an own entry and takes none at the moment is owed it. Sync mirrors what there is, status says what
// is wrong, and a later sync makes it good.
func TestADebtIsShownAndPaid(t *testing.T) {
	hub := &lateHub{id: "h", full: true, log: []string{"a", "b"}}
	dir, conn := joined(t, hub)
	if err := dir.Note(t.Context(), conn, &hubv1.NewEntry{Id: "own", Type: "task", Content: "text"}, 3); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := inProcess(t, "connection", "sync")
	if code != exitPartial || !strings.Contains(stderr, "ctx: error: own entries are not published again yet: no space left on device; 2 entries arrived") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	code, stdout, _ := inProcess(t, "connection", "status")
	if code != exitOK || !strings.Contains(stdout, "own entries are still to be published again") || !strings.Contains(stdout, "ctx connection sync") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
	if _, stdout, _ = inProcess(t, "connection", "status", "--json"); !strings.Contains(stdout, `"owed":true`) {
		t.Errorf("as JSON: %s", stdout)
	}
	hub.full = false
	code, stdout, stderr = inProcess(t, "connection", "sync")
	if code != exitOK || stderr != "ctx: warning: 1 own entry was lost by the hub and published again\n" || stdout != "1 new, level with the hub at 3\n" {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if _, stdout, _ = inProcess(t, "connection", "status", "--json"); !strings.Contains(stdout, `"owed":false,"problem":"",`) {
		t.Errorf("as JSON: %s", stdout)
	}
}

// Where an archive was taken away, the error says what to do, and what was skipped is told.
func TestMissingEntriesAreSkippedOnlyIfAsked(t *testing.T) {
	joined(t, &lateHub{id: "h", gone: 2, log: []string{"a", "b", "c"}})
	for _, command := range []string{"sync", "listen"} {
		code, _, stderr := inProcess(t, "connection", command)
		if code != exitError || !strings.Contains(stderr, "ctx: error: entries up to 2 were taken out of the archive\n") ||
			!strings.Contains(stderr, "ctx: hint: have the archive put back on the hub's host, or go on without it: ctx connection "+command+" --skip-missing\n") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	}
	code, stdout, stderr := inProcess(t, "connection", "sync", "--skip-missing")
	if code != exitOK || stdout != "1 new, level with the hub at 3\n" || !strings.HasPrefix(stderr, "ctx: warning: entries up to 2 are no longer on the hub") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr = inProcess(t, "connection", "sync"); code != exitOK || stderr != "" {
		t.Errorf("behind the gap: exit code %d, %s%s", code, stdout, stderr)
	}
}
