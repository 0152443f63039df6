package rpc

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	healthv1 "ctxhub/gen/grpc/health/v1"
)

// health answers load balancers: serving until the hub drains. Reads go on when the disk refuses entries, so a
// degraded hub still serves.
type health struct {
	services []string
	draining <-chan struct{}
}

func (h *health) Check(_ context.Context, req *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if !h.knows(req.GetService()) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown service %.80q", req.GetService()))
	}
	return &healthv1.HealthCheckResponse{Status: h.now()}, nil
}

func (h *health) Watch(ctx context.Context, req *healthv1.HealthCheckRequest, stream *connect.ServerStream[healthv1.HealthCheckResponse]) error {
	if !h.knows(req.GetService()) {
		if err := stream.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVICE_UNKNOWN}); err != nil {
			return err
		}
	} else if err := stream.Send(&healthv1.HealthCheckResponse{Status: h.now()}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-h.draining:
		return stream.Send(&healthv1.HealthCheckResponse{Status: h.now()})
	}
}

func (h *health) knows(service string) bool {
	return service == "" || slices.Contains(h.services, service)
}

func (h *health) now() healthv1.HealthCheckResponse_ServingStatus {
	select {
	case <-h.draining:
		return healthv1.HealthCheckResponse_NOT_SERVING
	default:
		return healthv1.HealthCheckResponse_SERVING
	}
}
