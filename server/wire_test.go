package server

import (
	"fmt"
	"testing"

	"connectrpc.com/connect"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	healthv1 "ctxhub/gen/grpc/health/v1"
	"ctxhub/gen/grpc/health/v1/healthv1connect"
)

// roads are the ways a call can reach the hub: every protocol, over every version of HTTP it is defined for.
var roads = []struct {
	name    string
	http2   bool
	options []connect.ClientOption
}{
	{"Connect/HTTP1", false, nil},
	{"Connect/HTTP2", true, nil},
	{"ConnectJSON/HTTP1", false, []connect.ClientOption{connect.WithProtoJSON()}},
	{"ConnectJSON/HTTP2", true, []connect.ClientOption{connect.WithProtoJSON()}},
	{"ConnectGET/HTTP1", false, []connect.ClientOption{connect.WithHTTPGet()}},
	{"ConnectGET/HTTP2", true, []connect.ClientOption{connect.WithHTTPGet()}},
	{"gRPC/HTTP2", true, []connect.ClientOption{connect.WithGRPC()}},
	{"gRPC+gzip/HTTP2", true, []connect.ClientOption{connect.WithGRPC(), connect.WithSendGzip()}},
	{"gRPCJSON/HTTP2", true, []connect.ClientOption{connect.WithGRPC(), connect.WithProtoJSON()}},
	{"gRPCWeb/HTTP1", false, []connect.ClientOption{connect.WithGRPCWeb()}},
	{"gRPCWeb/HTTP2", true, []connect.ClientOption{connect.WithGRPCWeb()}},
}

func TestEveryMethodOverEveryRoad(t *testing.T) {
	cert, key := certificate(t, "localhost")
	for _, withTLS := range []bool{false, true} {
		r := start(t, func(c *Config) {
			if withTLS {
				c.TLSCert, c.TLSKey = cert, key
			}
		})
		for i, road := range roads {
			t.Run(fmt.Sprintf("%s/TLS=%v", road.name, withTLS), func(t *testing.T) {
				allMethods(t, r, i, road.http2, road.options)
			})
		}
	}
}

func allMethods(t *testing.T, r *running, i int, http2 bool, options []connect.ClientOption) {
	ctx, c := t.Context(), httpClient(t, http2)
	name := fmt.Sprintf("project-%d", i)
	admin := r.adminClient(c, options...)
	registered, err := admin.Register(ctx, &hubv1.RegisterRequest{Project: name})
	if err != nil {
		t.Fatal(err)
	}
	project := r.projectClient(c, registered.GetToken(), options...)
	before, err := project.Status(ctx, &hubv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if before.GetProject() != name || before.GetRole() != "leader" || before.GetVersion() != "test" {
		t.Errorf("status %v", before)
	}
	id := fmt.Sprintf("id-%d", i)
	sequences := publish(t, project, newEntry(id, "ünï\n\"x\""))
	if len(sequences) != 1 || sequences[0] != before.GetHead()+1 {
		t.Fatalf("sequences %v after head %d", sequences, before.GetHead())
	}
	check := func(method string, entries []*hubv1.Entry, cursor uint64, hubID string) {
		if len(entries) != 1 || entries[0].GetId() != id || entries[0].GetOrigin() != name ||
			entries[0].GetContent() != "ünï\n\"x\"" || entries[0].GetTimestamp().AsTime().IsZero() ||
			cursor != sequences[0] || hubID != before.GetHubId() {
			t.Errorf("%s: %v, cursor %d", method, entries, cursor)
		}
	}
	sync, err := project.Sync(ctx, &hubv1.SyncRequest{After: before.GetHead(), Types: []string{"learning"}})
	if err != nil {
		t.Fatal(err)
	}
	if !sync.Receive() {
		t.Fatal(sync.Err())
	}
	check("Sync", sync.Msg().GetEntries(), sync.Msg().GetCursor(), sync.Msg().GetHubId())
	if sync.Receive() || sync.Err() != nil {
		t.Errorf("Sync does not end at the head: %v", sync.Err())
	}
	listen, err := project.Listen(ctx, &hubv1.ListenRequest{After: before.GetHead()})
	if err != nil {
		t.Fatal(err)
	}
	if !listen.Receive() {
		t.Fatal(listen.Err())
	}
	check("Listen", listen.Msg().GetEntries(), listen.Msg().GetCursor(), listen.Msg().GetHubId())
	all, err := admin.ListProjects(ctx, &hubv1.ListProjectsRequest{})
	if err != nil || len(all.GetProjects()) != i+1 {
		t.Errorf("ListProjects: %v, %v", all, err)
	}
	if _, err := admin.Revoke(ctx, &hubv1.RevokeRequest{Project: name}); err != nil {
		t.Error(err)
	}
	for listen.Receive() { // the stream ends because of the revocation
	}
	if code := connect.CodeOf(listen.Err()); code != connect.CodeUnauthenticated {
		t.Errorf("the revoked project's stream ended with %v", listen.Err())
	}
	health := healthv1connect.NewHealthClient(c, r.url, options...)
	if h, err := health.Check(ctx, &healthv1.HealthCheckRequest{}); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", h, err)
	}
}
