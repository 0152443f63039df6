package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

func wantCode(t *testing.T, what string, err error, code connect.Code, words ...string) {
	t.Helper()
	if connect.CodeOf(err) != code {
		t.Errorf("%s: %v, want %v", what, err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

func TestBadEntriesAreRefusedAndNothingIsStored(t *testing.T) {
	r := start(t, nil)
	c := r.project(t, "api")
	long := strings.Repeat("x", 1<<20)
	batch := func(n int, e *hubv1.NewEntry) []*hubv1.NewEntry {
		all := make([]*hubv1.NewEntry, n)
		for i := range all {
			all[i] = newEntry(fmt.Sprint("batch-", i), "good")
		}
		if e != nil {
			all[n/2] = e
		}
		return all
	}
	meta := func(m *hubv1.Meta) []*hubv1.NewEntry {
		e := newEntry("m", "x")
		e.Meta = m
		return []*hubv1.NewEntry{e}
	}
	for what, test := range map[string]struct {
		entries []*hubv1.NewEntry
		code    connect.Code
		says    string
	}{
		"no entry":             {nil, connect.CodeInvalidArgument, "no entry"},
		"no id":                {batch(1, newEntry("", "x")), connect.CodeInvalidArgument, "id"},
		"a long id":            {batch(1, newEntry(strings.Repeat("x", 65), "x")), connect.CodeInvalidArgument, "id"},
		"a path as id":         {batch(1, newEntry("../x", "x")), connect.CodeInvalidArgument, "id"},
		"empty content":        {batch(1, newEntry("a", "")), connect.CodeInvalidArgument, "empty"},
		"1 MiB + 1":            {batch(1, newEntry("a", long+"x")), connect.CodeResourceExhausted, "1048577 bytes"},
		"unknown type":         {batch(1, &hubv1.NewEntry{Id: "a", Type: "../../pwned", Content: "x"}), connect.CodeInvalidArgument, "decision, learning, convention or task"},
		"257 entries":          {batch(257, nil), connect.CodeResourceExhausted, "257"},
		"one bad among good":   {batch(9, newEntry("bad", "")), connect.CodeInvalidArgument, "entry 5 of 9"},
		"5 MiB together":       {[]*hubv1.NewEntry{newEntry("1", long), newEntry("2", long), newEntry("3", long), newEntry("4", long), newEntry("5", long)}, connect.CodeResourceExhausted, "4 MiB"},
		"meta too long":        {meta(&hubv1.Meta{Host: strings.Repeat("h", 257)}), connect.CodeResourceExhausted, "meta.host"},
		"meta with an escape":  {meta(&hubv1.Meta{Tool: "\x1b[31m"}), connect.CodeInvalidArgument, "meta.tool"},
		"meta with a new line": {meta(&hubv1.Meta{DisplayName: "a\nb"}), connect.CodeInvalidArgument, "meta.display_name"},
	} {
		_, err := c.Publish(t.Context(), &hubv1.PublishRequest{Entries: test.entries})
		wantCode(t, what, err, test.code, test.says)
	}
	if got := publish(t, c, newEntry("a", long)); got[0] != 1 {
		t.Errorf("1 MiB got sequence %v: something refused was stored", got)
	}
	if got := publish(t, c, newEntry("a", long)); got[0] != 1 {
		t.Errorf("again: %v", got)
	}
	_, err := c.Publish(t.Context(), &hubv1.PublishRequest{Entries: batch(3, newEntry("a", "other"))})
	wantCode(t, "the id with other content", err, connect.CodeAlreadyExists, "already used")
	if head := status(t, c).GetHead(); head != 1 {
		t.Errorf("head %d, want 1", head)
	}
}

func status(t *testing.T, c interface {
	Status(ctx context.Context, req *hubv1.StatusRequest) (*hubv1.StatusResponse, error)
},
) *hubv1.StatusResponse {
	t.Helper()
	s, err := c.Status(t.Context(), &hubv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBadReadsAreRefused(t *testing.T) {
	r := start(t, nil)
	c := r.project(t, "api")
	publish(t, c, newEntry("a", "x"))
	for what, test := range map[string]struct {
		req  *hubv1.SyncRequest
		code connect.Code
	}{
		"unknown type":       {&hubv1.SyncRequest{Types: []string{"decisions"}}, connect.CodeInvalidArgument},
		"after the head":     {&hubv1.SyncRequest{After: 2}, connect.CodeOutOfRange},
		"until after a head": {&hubv1.SyncRequest{Until: 2}, connect.CodeOutOfRange},
	} {
		stream, err := c.Sync(t.Context(), test.req)
		if err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
			if m := stream.Msg(); m.GetHead() != 1 || m.GetHubId() == "" || len(m.GetEntries()) > 0 {
				t.Errorf("%s: %v", what, m)
			}
		}
		wantCode(t, what, stream.Err(), test.code)
	}
}

func TestEveryBadTokenGetsTheSameAnswer(t *testing.T) {
	r := start(t, nil)
	good := r.join(t, "api")
	revoked := r.join(t, "gone")
	if _, err := r.adminClient(httpClient(t, true)).Revoke(t.Context(), &hubv1.RevokeRequest{Project: "gone"}); err != nil {
		t.Fatal(err)
	}
	answers := map[string]bool{}
	for what, headers := range map[string][]string{
		"missing":      nil,
		"empty":        {""},
		"malformed":    {"Bearer"},
		"unknown":      {"Bearer ctx_cli_" + strings.Repeat("0", 64)},
		"revoked":      {"Bearer " + revoked},
		"no scheme":    {good},
		"other scheme": {"Basic " + good},
		"lower case":   {"bearer " + good},
		"two spaces":   {"Bearer  " + good},
		"trailing":     {"Bearer " + good + ",x"},
		"twice":        {"Bearer " + good, "Bearer " + good},
	} {
		for _, method := range []string{"HubService/Status", "HubService/Publish", "HubService/Sync", "AdminService/Register"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/ctx.hub.v1."+method, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header["Authorization"] = headers
			resp, err := httpClient(t, false).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s at %s: %d %s (%v)", what, method, resp.StatusCode, body, err)
			}
			_ = resp.Body.Close()
			answers[string(body)] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers: %v", len(answers), answers)
	}
}

func TestTokensOpenOnlyTheirOwnService(t *testing.T) {
	r := start(t, nil)
	token := r.join(t, "api")
	c := httpClient(t, true)
	if _, err := r.projectClient(c, r.admin).Status(t.Context(), &hubv1.StatusRequest{}); err != nil {
		t.Errorf("the admin asks for status: %v", err)
	}
	_, err := r.projectClient(c, r.admin).Publish(t.Context(), &hubv1.PublishRequest{Entries: []*hubv1.NewEntry{newEntry("a", "x")}})
	wantCode(t, "the admin publishes", err, connect.CodePermissionDenied)
	asProject := &running{url: r.url, admin: token}
	_, err = asProject.adminClient(c).Register(t.Context(), &hubv1.RegisterRequest{Project: "other"})
	wantCode(t, "a project registers another", err, connect.CodePermissionDenied)
}

func TestNames(t *testing.T) {
	r := start(t, nil)
	admin := r.adminClient(httpClient(t, true))
	for _, name := range []string{"api", "api@laptop", "my project", "Größe_2", "a+b", "日本"} {
		if _, err := admin.Register(t.Context(), &hubv1.RegisterRequest{Project: name}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", " ", " api", "api ", ".context", "a/b", "a\nb", "a*b", "<b>", "a\u202eb", "a\x1b", strings.Repeat("x", 65)} {
		_, err := admin.Register(t.Context(), &hubv1.RegisterRequest{Project: name})
		wantCode(t, fmt.Sprintf("%q", name), err, connect.CodeInvalidArgument, "project's name")
	}
	_, err := admin.Register(t.Context(), &hubv1.RegisterRequest{Project: "api"})
	wantCode(t, "taken", err, connect.CodeAlreadyExists, `"api" is already taken`)
	_, err = admin.Revoke(t.Context(), &hubv1.RevokeRequest{Project: "nobody"})
	wantCode(t, "unknown", err, connect.CodeNotFound)
}

func TestOriginIsTheTokensProject(t *testing.T) {
	r := start(t, nil)
	c := r.project(t, "api")
	token := r.join(t, "web")
	body := `{"entries":[{"id":"a","type":"task","content":"x","origin":"api","sequence":"99"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/ctx.hub.v1.HubService/Publish", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := httpClient(t, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	stream, err := c.Sync(t.Context(), &hubv1.SyncRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
		for _, e := range stream.Msg().GetEntries() {
			if e.GetOrigin() != "web" || e.GetSequence() != 1 {
				t.Errorf("forged: %v", e)
			}
		}
	}
	if head := status(t, c).GetHead(); head > 1 {
		t.Errorf("head %d", head)
	}
}

func TestStreamLimits(t *testing.T) {
	r := start(t, func(c *Config) { c.MaxStreams, c.MaxStreamsPerProject = 3, 2 })
	api, web := r.project(t, "api"), r.project(t, "web")
	listen := func(c interface {
		Listen(ctx context.Context, req *hubv1.ListenRequest) (*connect.ServerStreamForClient[hubv1.ListenResponse], error)
	},
	) (*connect.ServerStreamForClient[hubv1.ListenResponse], error) {
		stream, err := c.Listen(t.Context(), &hubv1.ListenRequest{})
		if err != nil {
			return nil, err
		}
		if !stream.Receive() {
			return nil, stream.Err()
		}
		return stream, nil
	}
	first, err := listen(api)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(api); err != nil {
		t.Fatal(err)
	}
	_, err = listen(api)
	wantCode(t, "a third of one project", err, connect.CodeResourceExhausted, `"api" has 2 streams`, "5 seconds")
	if _, err := listen(web); err != nil {
		t.Errorf("another project is kept out: %v", err)
	}
	_, err = listen(web)
	wantCode(t, "a fourth in all", err, connect.CodeResourceExhausted, "3 streams")
	if connectErr := new(connect.Error); !errors.As(err, &connectErr) || connectErr.Meta().Get("Retry-After") != "5" {
		t.Error("it is not said when to try again")
	}
	if n := status(t, api).GetListeners(); n != 3 {
		t.Errorf("%d listeners, want 3", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := listen(web); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("a place that was given back is not free: %v", err)
		}
	}
}
