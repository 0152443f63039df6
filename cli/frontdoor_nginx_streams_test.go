//go:build linux

package cli_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// idleListener is a listener behind nginx to which nothing happens.
type idleListener struct {
	h     *testHub
	n     *nginx
	w     *workstation
	ear   *process
	since time.Time
}

func newIdleListener(t *testing.T, settings string, flags ...string) *idleListener {
	t.Helper()
	h := startHub(t, flags...)
	n := startNginx(t, h, seedBlock, settings)
	w := joined(t, h, n, "x")
	return &idleListener{h, n, w, w.listen(), time.Now()}
}

// wake publishes an entry after a silence, which must arrive once, and on the stream that was there all the time.
func (l *idleListener) wake(t *testing.T, silence time.Duration) {
	t.Helper()
	time.Sleep(time.Until(l.since.Add(silence)))
	entry := &hubv1.NewEntry{Id: "after", Type: "decision", Content: "After the silence"}
	_, err := l.h.client(t, l.h.register(t, "y")).Publish(t.Context(), entry)
	check(t, err)
	await(t, "the entry in the mirror", func() bool { return l.w.headings(entry.GetContent()) > 0 })
	if log, said := l.n.log("access.log"), l.ear.stdout.String(); strings.Contains(log, "/Listen") || strings.Contains(said, "lost") {
		t.Errorf("the stream was not the same all the time:\n%s%s", log, said)
	}
	if got := l.w.headings(entry.GetContent()); got != 1 {
		t.Errorf("the entry is there %d times", got)
	}
}

// An idle listener stays on its one stream for longer than nginx waits for a silent hub.
func TestFrontdoorNginxIdleListen(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	newIdleListener(t, "grpc_read_timeout 2s;", "--heartbeat", "500ms").wake(t, 5*time.Second)
}

// The same with nginx's own 60 s, and with the hub's own heartbeat and the slowest it can be given.
func TestFrontdoorNginxIdleListenByDefault(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	byDefault, slowest := newIdleListener(t, ""), newIdleListener(t, "", "--heartbeat", "20s")
	byDefault.wake(t, 66*time.Second)
	slowest.wake(t, 66*time.Second)
}

// Where the hub's heartbeats are too slow for the proxy, its cut is noticed, and the listener goes on.
func TestFrontdoorNginxCutsStream(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "grpc_read_timeout 1s;")
	w := joined(t, h, n, "x")
	listener := w.listen()
	await(t, "nginx to cut the stream", func() bool { return strings.Contains(n.log("access.log"), "/Listen") })
	await(t, "the listener to notice", func() bool { return strings.Contains(listener.stdout.String(), `"event":"lost"`) })
	_, err := h.client(t, h.register(t, "y")).Publish(t.Context(), &hubv1.NewEntry{Id: "after", Type: "decision", Content: "After the cut"})
	check(t, err)
	await(t, "the entry in the mirror", func() bool { return strings.Contains(w.mirror("decisions.md"), "After the cut") })
	if got := w.headings("After the cut"); got != 1 {
		t.Errorf("the entry is there %d times", got)
	}
}

// A proxy that cannot reach the hub, or gets no answer from it, is told apart from a hub that says no. A listener waits,
// and gets what was published later exactly once.
func TestFrontdoorNginxHubDown(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "grpc_read_timeout 15s; grpc_connect_timeout 1s;")
	w, y := joined(t, h, n, "x"), joined(t, h, n, "y")
	y.ctx("connection", "publish", "decision", "Before the restart")
	listener := w.listen()

	h.stop()
	await(t, "the listener to notice", func() bool { return strings.Contains(listener.stdout.String(), `"event":"lost"`) })
	contains(t, y.fails(8, "connection", "publish", "decision", "While the hub is down"), "proxy at "+n.url, "502")
	contains(t, y.fails(8, "connection", "status"), "proxy at "+n.url, "502")
	contains(t, y.fails(8, "connection", "sync"), "proxy at "+n.url, "502")

	h.restart(t)
	contains(t, y.ctx("connection", "publish", "decision", "After the restart"), "published decision 2")
	await(t, "the entry in the mirror", func() bool { return strings.Contains(w.mirror("decisions.md"), "After the restart") })
	y.ctx("connection", "publish", "decision", "And again")
	await(t, "the entry in the mirror", func() bool { return strings.Contains(w.mirror("decisions.md"), "And again") })
	for _, text := range []string{"Before the restart", "After the restart", "And again"} {
		if got := w.headings(text); got != 1 {
			t.Errorf("%q is there %d times", text, got)
		}
	}
	contains(t, w.ctx("connection", "sync"), "nothing new")
}

// A hub that hangs behind a proxy is a 504.
func TestFrontdoorNginxHubHangs(t *testing.T) {
	t.Parallel()
	need(t, "nginx")
	h := startHub(t)
	n := startNginx(t, h, seedBlock, "grpc_read_timeout 1s;")
	w := joined(t, h, n, "x")
	h.signal(syscall.SIGSTOP)
	t.Cleanup(func() { h.signal(syscall.SIGCONT) })
	contains(t, w.fails(8, "connection", "publish", "--id", "once", "decision", "Perhaps"), "proxy at "+n.url, "504")
	h.signal(syscall.SIGCONT)
	w.ctx("connection", "publish", "--id", "once", "decision", "Perhaps")
	sameContents(t, h, []string{"Perhaps"})
}
