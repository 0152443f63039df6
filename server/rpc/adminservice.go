package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
	"ctxhub/server/hub"
	"ctxhub/server/store"
)

// adminService is what the operator may do.
type adminService struct {
	hubv1connect.UnimplementedAdminServiceHandler
	store  *store.Store
	writer hub.Writer
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
