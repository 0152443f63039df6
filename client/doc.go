// Package client talks to a ctx Hub: it publishes entries, reads the log up to its head (Sync) and follows
// it (Listen), over gRPC, with or without TLS.
//
// A Client may be used by many goroutines at once; concurrent calls of Publish share requests. It tries
// again where that cannot do harm, moves on to the next address when one fails, and resumes a stream that
// was cut after the last message it handed over.
//
// Every error of a call is a [connect.Error]: connect.CodeOf gives its code, and errors.Is finds what went
// wrong on the way to the hub (ErrUnreachable, ErrCertificate and their like). The message is one sentence.
package client
