package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestACallInFlightIsAnsweredBeforeTheHubGoes begins a publish, lets the hub drain while half of the request is
// still to come, and then sends the rest.
func TestACallInFlightIsAnsweredBeforeTheHubGoes(t *testing.T) {
	r := start(t, nil)
	token := r.join(t, "api")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	body := `{"entries":[{"id":"a","type":"task","content":"said in two halves"}]}`
	if _, err := fmt.Fprintf(conn, "POST /ctx.hub.v1.HubService/Publish HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", token, len(body)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err) // the handler is reading now: the call is in flight
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	for { // until the drain has begun, and with it new connections are refused
		probe, err := net.DialTimeout("tcp", strings.TrimPrefix(r.url, "http://"), time.Second)
		if err != nil {
			break
		}
		_ = probe.Close()
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := conn.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	again := start(t, func(c *Config) { c.DataDir = r.dir })
	if head := status(t, again.projectClient(httpClient(t, true), token)).GetHead(); head != 1 {
		t.Errorf("head %d: what was acknowledged is not there", head)
	}
}
