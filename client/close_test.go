package client

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// ours counts goroutines that run this package's code or a client's HTTP/2 connection.
func ours() int {
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	n := 0
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(stack, "net/http2.(*clientConn") || strings.Contains(stack, "http2.(*ClientConn") ||
			strings.Contains(stack, "http2.(*clientStream") || strings.Contains(stack, "client.(*share).send") {
			n++
		}
	}
	return n
}

func TestCloseEndsEverything(t *testing.T) {
	g := newGate()
	hub := &fakeHub{refuse: g.hold}
	hub.fill(3)
	c := newClient(t, Config{Addresses: []string{hub.serve(t)}, RetryFor: time.Hour})
	var wg sync.WaitGroup
	ended := make(chan error, 64)
	for range 20 {
		wg.Go(func() {
			_, err := c.Publish(context.Background(), entry("x"))
			ended <- err
		})
	}
	<-g.came
	listening := make(chan struct{}, 10)
	for range 10 {
		wg.Go(func() {
			for _, err := range c.Listen(context.Background(), &hubv1.ListenRequest{}) {
				if err != nil {
					ended <- err
					return
				}
				listening <- struct{}{}
			}
		})
	}
	for range 10 {
		<-listening
	}
	if ours() == 0 {
		t.Fatal("nothing is counted")
	}
	c.Close()
	wg.Wait()
	close(g.open)
	close(ended)
	for err := range ended {
		if !errors.Is(err, ErrClosed) || connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("ended with %v", err)
		}
	}
	for ours() != 0 { // closed connections end their goroutines; if not, the test's own deadline shows the stacks
		time.Sleep(time.Millisecond)
	}

	if _, err := c.Publish(t.Context(), entry("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("publish after close: %v", err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("status after close: %v", err)
	}
	for _, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("listen after close: %v", err)
		}
	}
	c.Close() // again
}

func TestCloseEndsADialInProgress(t *testing.T) {
	accepted := make(chan struct{})
	addr := rawServer(t, func(c net.Conn) { close(accepted); drain(c) })
	c := newClient(t, Config{Addresses: []string{"https://" + addr}})
	done := make(chan error)
	go func() {
		_, err := c.Status(context.Background())
		done <- err
	}()
	<-accepted
	c.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
