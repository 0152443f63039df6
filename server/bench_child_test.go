//go:build linux

package server

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"connectrpc.com/connect"

	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

const (
	childVariable = "CTX_TEST_LISTENERS"
	copyVariable  = "CTX_TEST_COPY"
)

// TestMain lets the test binary be a second process: one that only listens, so that a benchmark sees the hub's memory
// and not its clients', or one that copies, as ctx hub backup and cp are.
func TestMain(m *testing.M) {
	if what := os.Getenv(copyVariable); what != "" {
		copyOnce(what, os.Args[1], os.Args[2], os.Args[3], os.Args[4])
		return
	}
	if n, err := strconv.Atoi(os.Getenv(childVariable)); err == nil {
		listenUntilKilled(os.Args[1], os.Args[2], n)
		return
	}
	os.Exit(m.Run())
}

func listenUntilKilled(url, token string, n int) {
	var wg sync.WaitGroup
	var b testing.B
	clients := map[int]hubv1connect.HubServiceClient{}
	for i := range n {
		c, ok := clients[i/50]
		if !ok {
			c = hubv1connect.NewHubServiceClient(httpClient(&b, true), url, connect.WithGRPC(), bearer(token))
			clients[i/50] = c
		}
		wg.Go(func() {
			stream, err := c.Listen(context.Background(), &hubv1.ListenRequest{})
			for err == nil && stream.Receive() {
			}
		})
	}
	fmt.Println("listening")
	wg.Wait()
}

func listenElsewhere(b *testing.B, url, token string, n int) (stop func()) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child := exec.Command(self, url, token)
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childVariable, n))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.Fatal(err)
	}
	return func() {
		_ = child.Process.Kill() // it has nothing to lose
		_ = child.Wait()
	}
}
