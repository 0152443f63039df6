package client

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// What a hub takes in one request, and in one entry.
const (
	MaxBatchEntries = 256
	MaxBatchBytes   = 4 << 20 // of content, in bytes
	MaxContentBytes = 1 << 20 // of one entry, in bytes
)

// Publish stores all entries or none, and returns their sequences once they are on stable storage.
//
// An entry without an id gets one, in place: publishing the same entries again after an error is harmless,
// because they are then the same entries. Calls at once share requests, so the entries must not be changed
// until Publish has returned, nor after an early end of ctx. Such an end says nothing about whether they
// were stored. Beyond the limits above the code is resource_exhausted, for other faults that can be seen
// without the hub invalid_argument.
func (c *Client) Publish(ctx context.Context, entries ...*hubv1.NewEntry) ([]uint64, error) {
	size, err := check(entries)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	for _, entry := range entries {
		if entry.Id == "" {
			entry.Id = NewID()
		}
	}
	p := newPending(entries, size)
	if err := c.share.join(c, p); err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		sequences, err := p.sequences, p.err
		p.release()
		return sequences, err
	case <-ctx.Done():
		c.share.abandon(p)
		return nil, contextError(ctx)
	}
}

// check refuses what the hub would refuse, where that can be known here, and adds up the content.
func check(entries []*hubv1.NewEntry) (size int, err error) {
	switch {
	case len(entries) == 0:
		return 0, refuse(connect.CodeInvalidArgument, "there is no entry to publish")
	case len(entries) > MaxBatchEntries:
		return 0, refuse(connect.CodeResourceExhausted,
			"%d entries in one request, at most %d are taken", len(entries), MaxBatchEntries)
	}
	for i, entry := range entries {
		if err := checkEntry(entry, place(i, len(entries))); err != nil {
			return 0, err
		}
		size += len(entry.GetContent())
	}
	if size > MaxBatchBytes {
		return 0, refuse(connect.CodeResourceExhausted,
			"%d bytes of content in one request, at most %d (4 MiB) are taken", size, MaxBatchBytes)
	}
	return size, nil
}

func checkEntry(entry *hubv1.NewEntry, place string) error {
	if entry == nil {
		return refuse(connect.CodeInvalidArgument, "%sthere is no entry", place)
	}
	if n := len(entry.Content); n > MaxContentBytes {
		return refuse(connect.CodeResourceExhausted,
			"%sthe content has %d bytes, at most %d (1 MiB) are stored", place, n, MaxContentBytes)
	}
	meta := entry.Meta
	for _, field := range [...]struct{ name, text string }{
		{"id", entry.Id}, {"type", entry.Type}, {"content", entry.Content},
		{"meta.display_name", meta.GetDisplayName()}, {"meta.host", meta.GetHost()},
		{"meta.tool", meta.GetTool()}, {"meta.via", meta.GetVia()},
	} {
		if !utf8.ValidString(field.text) {
			return refuse(connect.CodeInvalidArgument, "%sthe %s is not valid UTF-8", place, field.name)
		}
	}
	return nil
}

// place names one entry among several.
func place(i, n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("entry %d of %d: ", i+1, n)
}

func refuse(code connect.Code, format string, args ...any) error {
	return connect.NewError(code, fmt.Errorf(format, args...))
}

// publish sends one request until it is answered. Ids make repeating it harmless.
func (c *Client) publish(ctx context.Context, since time.Time, entries []*hubv1.NewEntry) ([]uint64, error) {
	req := &hubv1.PublishRequest{Entries: entries}
	res, err := repeat(ctx, c, since, anyError, func(ctx context.Context, e *endpoint) (*hubv1.PublishResponse, error) {
		return e.publisher.Publish(ctx, req)
	})
	if err != nil {
		return nil, err
	}
	if got := len(res.GetSequences()); got != len(entries) {
		return nil, refuse(connect.CodeInternal, "the hub answered %d entries with %d sequences", len(entries), got)
	}
	return res.GetSequences(), nil
}
