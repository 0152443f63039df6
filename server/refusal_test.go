package server

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// A log without entries also has an end.
func TestSyncOfEmptyLogEnds(t *testing.T) {
	r := start(t, nil)
	c := httpClient(t, true)
	registered, err := r.adminClient(c).Register(t.Context(), &hubv1.RegisterRequest{Project: "x"})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := r.projectClient(c, registered.GetToken()).Sync(t.Context(), &hubv1.SyncRequest{})
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for stream.Receive() {
		messages++
		if stream.Msg().GetHubId() == "" || stream.Msg().GetHead() != 0 {
			t.Errorf("got %v", stream.Msg())
		}
	}
	if messages != 1 || stream.Err() != nil {
		t.Errorf("%d messages, %v", messages, stream.Err())
	}
}

// A refusal in gRPC is trailers behind an empty body. It must not declare the body empty: nginx then drops what comes
// after it.
func TestRefusalKeepsItsTrailers(t *testing.T) {
	r := start(t, nil)
	_, header, trailer := refused(t, r, "application/grpc", bytes.NewReader(make([]byte, 5)))
	if length := header.Get("Content-Length"); length != "" || trailer.Get("Grpc-Status") != "16" {
		t.Errorf("content-length %q, trailers %v", length, trailer)
	}
}

// A short request is let in before it is refused: HTTP/2 would reset it otherwise, and some clients lose the answer.
func TestRefusalAwaitsShortRequest(t *testing.T) {
	r := start(t, nil)
	body, write := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		time.Sleep(50 * time.Millisecond)
		if _, err := write.Write([]byte("{}")); err != nil {
			t.Errorf("the request was refused before it was sent: %v", err)
		}
		_ = write.Close()
	}()
	if status, _, _ := refused(t, r, "application/json", body); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	<-sent
}

// refused sends a request without a token over HTTP/2 and reads the answer to its end.
func refused(t *testing.T, r *running, contentType string, body io.Reader) (status int, header, trailer http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+hubv1connect.HubServiceStatusProcedure, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := httpClient(t, true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, res.Trailer
}
