package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/rs/cors"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"ctxhub/gen/ctx/hub/v1/hubv1connect"
	"ctxhub/gen/grpc/health/v1/healthv1connect"
	"ctxhub/server/hub"
	"ctxhub/server/metrics"
	"ctxhub/server/store"
)

const (
	// maxMessage bounds a request, after decompression: 4 MiB of content in JSON, or 1 MiB with every byte escaped.
	maxMessage = 8 << 20
	// Compressing costs more than the wire for messages smaller than this.
	compressFrom = 8 << 10
)

// Options are what the handlers need. All fields are required, but for those whose zero value says what it is.
type Options struct {
	Store                            *store.Store
	Writer                           hub.Writer
	AdminToken                       string
	Version                          string
	Started                          time.Time
	Heartbeat                        time.Duration   // longest silence of a stream
	MaxStreams, MaxStreamsPerProject int             // open at once
	DiskReserve                      uint64          // bytes, as the store was told
	AllowOrigins                     []string        // of other sites' pages that a browser lets call the hub
	OpenMetrics                      bool            // to whoever asks, without a token
	Draining                         <-chan struct{} // closed when streams must end
	Metrics                          *metrics.Metrics
	Log                              *slog.Logger
}

// NewHandler returns everything the hub serves.
func NewHandler(o Options) http.Handler {
	options := []connect.HandlerOption{
		connect.WithReadMaxBytes(maxMessage),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithInterceptors(errorTable{}),
		connect.WithRecover(func(ctx context.Context, _ connect.Spec, _ http.Header, cause any) error {
			return toWire(ctx, fmt.Errorf("panic: %v", cause))
		}),
	}
	write := connect.NewErrorWriter(options...)
	auth := &auth{store: o.Store, admin: hub.HashToken(o.AdminToken), write: write, metrics: o.Metrics}
	hubSvc := &hubService{
		store: o.Store, writer: o.Writer, auth: auth, heartbeat: o.Heartbeat, draining: o.Draining,
		version: o.Version, started: o.Started, metrics: o.Metrics, reserve: o.DiskReserve,
		streams: &openStreams{
			total: o.MaxStreams, perProject: o.MaxStreamsPerProject, open: make(map[*place]struct{}), by: make(map[string]int),
		},
	}
	o.Metrics.Show(hubSvc.state)
	services := []string{hubv1connect.HubServiceName, hubv1connect.AdminServiceName, healthv1connect.HealthName}
	reflector := grpcreflect.NewStaticReflector(services...)

	mux := http.NewServeMux()
	path, handler := hubv1connect.NewHubServiceHandler(hubSvc, options...)
	handler = plainStreams(write, handler, hubv1connect.HubServiceSyncProcedure, hubv1connect.HubServiceListenProcedure)
	mux.Handle(path, auth.require(projectsAndStatus, handler))
	adminSvc := &adminService{store: o.Store, writer: o.Writer, auth: auth, draining: o.Draining}
	path, handler = hubv1connect.NewAdminServiceHandler(adminSvc, options...)
	mux.Handle(path, auth.require(adminOnly, plainStreams(write, handler, hubv1connect.AdminServiceBackupProcedure)))
	path, handler = healthv1connect.NewHealthHandler(&health{services: services, draining: o.Draining}, options...)
	mux.Handle(path, plainStreams(write, handler, healthv1connect.HealthWatchProcedure))
	mux.Handle(grpcreflect.NewHandlerV1(reflector, options...))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, options...))
	mux.Handle("GET "+metricsPath, auth.requireForMetrics(o.OpenMetrics, o.Metrics.Handler()))
	mux.HandleFunc("GET "+livePath, live)
	mux.HandleFunc("GET "+readyPath, ready(o.Store, o.Draining))
	mux.HandleFunc("/", notFound)
	calls := &calls{log: o.Log, metrics: o.Metrics, procedures: procedures(services)}
	return calls.watch(allowOrigins(o.AllowOrigins, mux))
}

// procedures are the paths of all methods of the services, and of what else is answered.
func procedures(services []string) map[string]bool {
	all := map[string]bool{metricsPath: true, livePath: true, readyPath: true}
	services = append(services, grpcreflect.ReflectV1ServiceName, grpcreflect.ReflectV1AlphaServiceName)
	for _, name := range services {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		service, ok := found.(protoreflect.ServiceDescriptor)
		if err != nil || !ok {
			continue // it is served, and called unknown in the log
		}
		for i := range service.Methods().Len() {
			all["/"+name+"/"+string(service.Methods().Get(i).Name())] = true
		}
	}
	return all
}

func adminOnly(_ string, c caller) bool { return c.admin }

// projectsAndStatus lets projects use all of HubService, and the admin ask how the hub is.
func projectsAndStatus(procedure string, c caller) bool {
	return !c.admin || procedure == hubv1connect.HubServiceStatusProcedure
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "this is a ctx hub: it answers gRPC, gRPC-Web and Connect under /"+hubv1connect.HubServiceName+"/", http.StatusNotFound)
}

// allowOrigins lets the pages of the named origins call the hub from a browser. Without any, a browser lets only
// the hub's own origin do so.
func allowOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: strings.Fields("Authorization Content-Type Connect-Protocol-Version Connect-Timeout-Ms Grpc-Timeout X-Grpc-Web X-User-Agent " + requestIDHeader),
		ExposedHeaders: strings.Fields("Grpc-Status Grpc-Message Grpc-Status-Details-Bin Retry-After " + requestIDHeader),
		MaxAge:         7200, // seconds: what browsers cap it to
	}).Handler(next)
}
