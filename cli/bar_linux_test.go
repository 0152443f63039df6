package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	"ctxhub/gen/ctx/hub/v1/hubv1connect"
)

// slowHub takes its time for each message, so that a sync is seen.
type slowHub struct {
	hubv1connect.UnimplementedHubServiceHandler
	head  atomic.Uint64
	pause atomic.Int64
}

func (h *slowHub) Status(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
	return &hubv1.StatusResponse{HubId: "h", Head: h.head.Load()}, nil
}

func (h *slowHub) Sync(_ context.Context, req *hubv1.SyncRequest, out *connect.ServerStream[hubv1.SyncResponse]) error {
	end := h.head.Load()
	if req.GetUntil() > 0 {
		end = req.GetUntil()
	}
	for cursor := req.GetAfter(); cursor < end; {
		cursor = min(cursor+10, end)
		entry := &hubv1.Entry{
			Sequence: cursor, Id: fmt.Sprint("id-", cursor), Type: "task", Content: "text", Origin: "api", Timestamp: timestamppb.Now(),
		}
		if err := out.Send(&hubv1.SyncResponse{Entries: []*hubv1.Entry{entry}, Cursor: cursor, Head: end, HubId: "h"}); err != nil {
			return err
		}
		time.Sleep(time.Duration(h.pause.Load()))
	}
	return nil
}

// pseudoTerminal is one of 80 columns; what is written to it is read from the master.
func pseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	master = open("/dev/ptmx")
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, open(fmt.Sprint("/dev/pts/", n))
}

// TestTheBarOnATerminal runs the real command on a real terminal, with a mirror that has to be brought up to where
// another is first. The bar comes, fits, never runs backwards, ends at 100 % and goes.
func TestTheBarOnATerminal(t *testing.T) {
	hub := &slowHub{}
	hub.head.Store(100)
	t.Setenv("HOME", t.TempDir())
	root := t.TempDir()
	t.Chdir(root)
	dir, err := project.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	conn := &project.Connection{HubAddr: serveFake(t, hub), Project: "web", Token: "ctx_cli_x", Types: []string{"decision"}}
	if err := dir.Save(conn); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inProcess(t, "connection", "sync"); code != exitOK {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	conn.Types = []string{"decision", "task"}
	if err := dir.Save(conn); err != nil {
		t.Fatal(err)
	}
	hub.head.Store(300)
	hub.pause.Store(int64(60 * time.Millisecond))

	master, slave := pseudoTerminal(t)
	cmd := exec.Command("ctx", "connection", "sync")
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	cmd.Stderr = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close() // the command has it, so that reading ends with the command
	var seen strings.Builder
	buf := make([]byte, 4096)
	for n, err := master.Read(buf); err == nil; n, err = master.Read(buf) {
		seen.Write(buf[:n])
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v, %q", err, seen.String())
	}
	checkBar(t, seen.String())
}

var drawing = regexp.MustCompile(`^sync ([█░]{30}) ( *\d+)%  (\d+) of (\d+)$`)

func checkBar(t *testing.T, seen string) {
	t.Helper()
	const wipe = "\r\x1b[K"
	body, ok := strings.CutPrefix(seen, wipe)
	body, cleared := strings.CutSuffix(body, wipe)
	if !ok || !cleared {
		t.Fatalf("it does not come and go: %q", seen)
	}
	last, full := -1, -1
	for line := range strings.SplitSeq(body, wipe) {
		m := drawing.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a drawing: %q", line)
		}
		percent, err := strconv.Atoi(strings.TrimSpace(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		if drawn := strings.Count(m[1], "█"); percent < last || drawn < full {
			t.Errorf("it runs backwards: %q", seen)
		} else {
			last, full = percent, drawn
		}
		if m[4] != "300" || len([]rune(line)) >= 80 {
			t.Errorf("of what is to be done it says %q", line)
		}
	}
	if last != 100 || full != 30 {
		t.Errorf("it ends at %d %%: %q", last, seen)
	}
}
