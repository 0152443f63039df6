package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

func TestPublishReturnsSequencesInOrder(t *testing.T) {
	hub := &fakeHub{}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	first, second := entry("one"), entry("two")
	second.Id = "mine"
	got, err := c.Publish(t.Context(), first, second)
	if err != nil || !slices.Equal(got, []uint64{1, 2}) {
		t.Fatalf("got %v, %v", got, err)
	}
	if len(first.Id) != 36 || second.Id != "mine" {
		t.Errorf("ids are %q and %q", first.Id, second.Id)
	}
	if again, err := c.Publish(t.Context(), first); err != nil || again[0] != 1 {
		t.Errorf("published again: %v, %v", again, err)
	}
}

func TestPublishRetriesWithTheSameID(t *testing.T) {
	var failures atomic.Int64
	hub := &fakeHub{after: func(*hubv1.PublishRequest) error {
		if failures.Add(1) <= 3 {
			return connect.NewError(connect.CodeUnavailable, errors.New("stored, but you shall not know"))
		}
		return nil
	}}
	var waits []time.Duration
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, OnRetry: func(_ error, wait time.Duration) { waits = append(waits, wait) }})
	got, err := c.Publish(t.Context(), entry("once"))
	if err != nil || got[0] != 1 || hub.head() != 1 {
		t.Fatalf("got %v, %v; %d entries are stored", got, err, hub.head())
	}
	if len(waits) != 3 || waits[0] <= 0 {
		t.Errorf("told of waits %v", waits)
	}
}

func TestPublishChecksLocally(t *testing.T) {
	hub := &fakeHub{}
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}})
	huge := strings.Repeat("x", MaxContentBytes)
	many := make([]*hubv1.NewEntry, MaxBatchEntries+1)
	for i := range many {
		many[i] = entry("x")
	}
	for name, test := range map[string]struct {
		entries []*hubv1.NewEntry
		code    connect.Code
		says    string
	}{
		"none":      {nil, connect.CodeInvalidArgument, "no entry"},
		"nil":       {[]*hubv1.NewEntry{entry("x"), nil}, connect.CodeInvalidArgument, "entry 2 of 2"},
		"too many":  {many, connect.CodeResourceExhausted, "257 entries"},
		"too large": {[]*hubv1.NewEntry{entry(huge + "x")}, connect.CodeResourceExhausted, "1048577 bytes"},
		"too much":  {[]*hubv1.NewEntry{entry(huge), entry(huge), entry(huge), entry(huge), entry("x")}, connect.CodeResourceExhausted, "4194305 bytes"},
		"content":   {[]*hubv1.NewEntry{entry("\xff")}, connect.CodeInvalidArgument, "content is not valid UTF-8"},
		"type":      {[]*hubv1.NewEntry{{Type: "\xff", Content: "x"}}, connect.CodeInvalidArgument, "type is not"},
		"id":        {[]*hubv1.NewEntry{{Id: "\xff", Content: "x"}}, connect.CodeInvalidArgument, "id is not"},
		"meta":      {[]*hubv1.NewEntry{{Content: "x", Meta: &hubv1.Meta{Tool: "\xff"}}}, connect.CodeInvalidArgument, "meta.tool is not"},
	} {
		_, err := c.Publish(t.Context(), test.entries...)
		if connect.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: got %v, want %v with %q", name, err, test.code, test.says)
		}
	}
	if n := hub.publishes.Load(); n != 0 {
		t.Errorf("%d requests reached the hub", n)
	}
	if _, err := c.Publish(t.Context(), entry(huge), entry(huge), entry(huge), entry(huge)); err != nil {
		t.Errorf("exactly 4 MiB: %v", err)
	}
}

func TestPublishCompressesLargeRequestsOnly(t *testing.T) {
	hub := &fakeHub{}
	recorder := &recorder{next: hub.handler()}
	c := newClient(t, Config{Addresses: []string{serveOn(t, listen(t), recorder)}, Token: "ctx_cli_x"})
	for _, size := range []int{400, MaxContentBytes} {
		if _, err := c.Publish(t.Context(), entry(strings.Repeat("some text ", size)[:size])); err != nil {
			t.Fatal(err)
		}
	}
	if got := recorder.encodings; !slices.Equal(got, []string{"", "gzip"}) {
		t.Errorf("request encodings are %q", got)
	}
	if n := recorder.bytes[1]; n > 1<<19 {
		t.Errorf("1 MiB of text took %d bytes", n)
	}
	for _, err := range c.Sync(t.Context(), &hubv1.SyncRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := recorder.answers[2]; got != "" && got != "identity" {
		t.Errorf("the answer to Sync is %s: compression makes catching up take twice as long", got)
	}
	if recorder.token != "Bearer ctx_cli_x" {
		t.Errorf("the token came as %q", recorder.token)
	}
}

func TestPublishWithTooFewSequencesIsAnError(t *testing.T) {
	c := newClient(t, Config{Addresses: []string{serveOn(t, listen(t), handlerOf(&shortHub{}))}})
	got, err := c.Publish(t.Context(), entry("a"), entry("b"))
	wantCode(t, err, connect.CodeInternal)
	if got != nil {
		t.Errorf("got %v", got)
	}
}

// shortHub forgets a sequence.
type shortHub struct{ fakeHub }

func (h *shortHub) Publish(context.Context, *hubv1.PublishRequest) (*hubv1.PublishResponse, error) {
	return &hubv1.PublishResponse{Sequences: []uint64{1}}, nil
}
