package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/server/hub"
	"ctxhub/server/store"
)

// adminService is what the operator may do.
type adminService struct {
	store    *store.Store
	writer   hub.Writer
	auth     *auth
	draining <-chan struct{}
}

func (a *adminService) Register(ctx context.Context, req *hubv1.RegisterRequest) (*hubv1.RegisterResponse, error) {
	if err := hub.ValidateName(req.GetProject()); err != nil {
		return nil, err
	}
	token := hub.NewToken(hub.ClientTokenPrefix)
	project := hub.Project{
		ID: hub.NewHexID(), Name: req.GetProject(), Token: hub.HashToken(token), Created: time.Now().UTC(),
	}
	if err := a.writer.Register(ctx, project, hub.HashToken(req.GetCurrentToken())); err != nil {
		return nil, err
	}
	return &hubv1.RegisterResponse{Token: token, Project: project.Name, HubId: a.store.HubID()}, nil
}

func (a *adminService) ListProjects(context.Context, *hubv1.ListProjectsRequest) (*hubv1.ListProjectsResponse, error) {
	all := a.store.Projects()
	resp := &hubv1.ListProjectsResponse{Projects: make([]*hubv1.Project, len(all))}
	for i, p := range all {
		resp.Projects[i] = &hubv1.Project{Name: p.Name, CreatedAt: timestamppb.New(p.Created)}
		if !p.Active() {
			resp.Projects[i].RevokedAt = timestamppb.New(p.Revoked)
		}
	}
	return resp, nil
}

func (a *adminService) Revoke(ctx context.Context, req *hubv1.RevokeRequest) (*hubv1.RevokeResponse, error) {
	if err := a.writer.Revoke(ctx, req.GetProject(), time.Now().UTC()); err != nil {
		return nil, err
	}
	return &hubv1.RevokeResponse{}, nil
}

func (a *adminService) Rotate(ctx context.Context, _ *hubv1.RotateRequest) (*hubv1.RotateResponse, error) {
	sealed, err := a.store.Rotate(ctx)
	if err != nil {
		return nil, err
	}
	return &hubv1.RotateResponse{Archive: sealed.Name, First: sealed.First, Last: sealed.Last}, nil
}

func (a *adminService) Backup(ctx context.Context, req *hubv1.BackupRequest, stream *connect.ServerStream[hubv1.BackupResponse]) error {
	snapshot, err := a.store.Snapshot()
	if err != nil {
		return err
	}
	if req.GetWithoutLog() {
		snapshot = snapshot.WithoutLog()
	}
	out := &parts{size: uint64(snapshot.Size()), send: func(m *hubv1.BackupResponse) error { //nolint:gosec // a size
		if err := mayGoOn(ctx, a.auth, callerOf(ctx), a.draining); err != nil {
			return err
		}
		return stream.Send(m)
	}}
	if _, err := snapshot.WriteTo(out); err != nil {
		return err
	}
	return out.flush()
}

// partBytes is how much of a backup is sent at a time. It is a multiple of 3, so that the parts' base64 in JSON, one
// behind the other, is that of the whole.
const partBytes = 768 << 10

// parts makes messages of what is written to it.
type parts struct {
	size uint64
	send func(*hubv1.BackupResponse) error
	buf  []byte
}

func (p *parts) Write(text []byte) (int, error) {
	for rest := text; len(rest) > 0; {
		n := min(len(rest), partBytes-len(p.buf))
		p.buf, rest = append(p.buf, rest[:n]...), rest[n:]
		if len(p.buf) < partBytes {
			continue
		}
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}

func (p *parts) flush() error {
	err := p.send(&hubv1.BackupResponse{Data: p.buf, Size: p.size})
	p.buf = p.buf[:0]
	return err
}
