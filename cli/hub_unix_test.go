//go:build unix

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctxhub/server"
)

// startHub runs ctx hub start in the foreground, as its own process, until the test ends.
func startHub(t *testing.T, env ...string) (hub *exec.Cmd, local server.Local) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hub-data")
	hub = exec.Command("ctx", "hub", "start", "--bind", "127.0.0.1", "--port", "0", "--data-dir", dir)
	hub.Env = append(os.Environ(), env...)
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if hub.ProcessState == nil {
			_ = hub.Process.Kill()
			_ = hub.Wait()
		}
	})
	err := until(t.Context(), "the hub to start", func() (bool, error) {
		var err error
		local, err = server.FindLocal(dir)
		return err == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hub, local
}

// fakeSystemd is a notification socket.
func fakeSystemd(t *testing.T) (path string, receive func() string) {
	t.Helper()
	path, hear := FakeSystemd(t)
	return path, func() string {
		t.Helper()
		text := hear(20 * time.Second)
		if text == "" {
			t.Fatal("nothing is heard")
		}
		return text
	}
}

// FakeSystemd is a notification socket, also for the tests that come from outside. What hear returns is empty when
// nothing has come in this time.
func FakeSystemd(t *testing.T) (path string, hear func(within time.Duration) string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return path, func(within time.Duration) string {
		t.Helper()
		buf := make([]byte, 100)
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

// systemd hears that the hub is ready, that it lives, and that it stops.
func TestNotifySystemd(t *testing.T) {
	path, receive := fakeSystemd(t)
	hub, _ := startHub(t, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=20000")
	if got := receive(); got != "READY=1" {
		t.Fatalf("first heard %q", got)
	}
	if got := receive(); got != "WATCHDOG=1" {
		t.Fatalf("then heard %q", got)
	}
	if err := hub.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for got := receive(); got != "STOPPING=1"; got = receive() {
		if got != "WATCHDOG=1" {
			t.Fatalf("at the end heard %q", got)
		}
	}
	if err := hub.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestNotifyWithoutSystemd(t *testing.T) {
	if err := (notifier{}).tell("READY=1"); err != nil {
		t.Error(err)
	}
	if err := (notifier{socket: filepath.Join(t.TempDir(), "nobody")}).tell("READY=1"); err == nil {
		t.Error("a socket that is not there is told without an error")
	}
	(notifier{watchdog: "nonsense"}).keepAlive(t.Context(), nil) // returns at once
}

// systemd hears nothing of a hub that does not answer.
func TestWatchdogAsksTheHub(t *testing.T) {
	path, receive := fakeSystemd(t)
	n := notifier{socket: path, watchdog: "20000"}
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.keepAlive(ctx, func(context.Context) error {
			asked++
			_ = n.tell(fmt.Sprint("asked ", asked))
			if asked == 2 || asked == 3 {
				return errors.New("no answer")
			}
			return nil
		})
	}()
	for _, want := range []string{"asked 1", "WATCHDOG=1", "asked 2", "asked 3", "asked 4", "WATCHDOG=1"} {
		if got := receive(); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	stop()
	<-done
}

// The first signal drains, which a call in flight holds up; the second one does not wait for it.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		t.Run(signal.String(), func(t *testing.T) {
			hub, local := startHub(t)
			holdCall(t, local)
			if err := hub.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			awaitRefused(t, strings.TrimPrefix(local.URL, "http://"))
			if err := hub.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := hub.Wait(); !errors.As(err, &exit) || exit.ExitCode() != code {
				t.Errorf("ended with %v, want exit code %d", err, code)
			}
		})
	}
}

// holdCall begins a call whose request never ends, and returns when the hub has taken it up.
func holdCall(t *testing.T, local server.Local) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(local.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// The hub says 100 Continue when its handler begins to read the body.
	_, err = fmt.Fprintf(conn, "POST /ctx.hub.v1.HubService/Status HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", local.AdminToken)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the hub says %q, %v", line, err)
	}
}

// awaitRefused waits until the hub no longer listens, which is how its drain begins.
func awaitRefused(t *testing.T, address string) {
	t.Helper()
	err := until(t.Context(), "the hub to drain", func() (bool, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return true, nil
		}
		return false, conn.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}
