// Package rpc serves the hub's services over gRPC, gRPC-Web and Connect (protobuf and JSON). It is the only
// server package that knows Connect: authentication, limits, the handlers and the one table of errors.
package rpc
