package cli

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The kernel's own tables are read as they are meant.
func TestAskingTheKernel(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if who := listenerOf(port); !strings.Contains(who, "(process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("port %d is %q's", port, who)
	}
	if limit, used, err := openFiles(os.Getpid()); err != nil || used < 3 || limit < used {
		t.Errorf("%d of %d open files, %v", used, limit, err)
	}
	if facts, err := diskOf(t.TempDir()); err != nil || facts.free == 0 {
		t.Errorf("%+v, %v", facts, err)
	}
	if facts, err := diskOf("/proc"); err != nil || facts.kind != "" {
		t.Errorf("/proc: %+v, %v", facts, err)
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		h := &host{dir: "/dev/shm"}
		if got := h.lookAtFileSystem(context.Background()); got.Verdict != verdictWarning {
			t.Errorf("/dev/shm: %+v", got)
		}
	}
}
