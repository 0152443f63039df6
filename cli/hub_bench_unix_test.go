//go:build unix

package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"ctxhub/client"
)

// interruptBench starts a bench that would go on for minutes, interrupts it when it has published, and looks that it
// has ended as a command does that was interrupted.
func interruptBench(t *testing.T, published func() bool, args ...string) {
	t.Helper()
	cmd := exec.Command("ctx", append([]string{"hub", "bench", "--duration", "5m", "--listeners", "2"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	if err := until(t.Context(), "the bench to publish", func() (bool, error) { return published(), nil }); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("ended with %v", err)
	}
}

func TestInterruptedBenchCleansUp(t *testing.T) {
	root := t.TempDir()
	interruptBench(t, func() bool {
		logs, _ := filepath.Glob(filepath.Join(root, benchPattern, benchData, "entries.jsonl"))
		if len(logs) == 0 {
			return false
		}
		info, err := os.Stat(logs[0])
		return err == nil && info.Size() > 0
	}, "--data-dir", filepath.Join(root, "hub-data"))
	if names, err := os.ReadDir(root); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestInterruptedBenchRevokesItsProject(t *testing.T) {
	_, local := startHub(t)
	admin, err := dialLocal(local, client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(local.AdminToken), 0o600); err != nil {
		t.Fatal(err)
	}
	interruptBench(t, func() bool {
		status, err := admin.Status(t.Context())
		return err == nil && status.GetHead() > 0
	}, "--hub", local.URL, "--token-file", token, "--yes")
	projects, err := admin.ListProjects(t.Context())
	if err != nil || len(projects) != 1 || projects[0].GetRevokedAt() == nil {
		t.Errorf("%v, %v", projects, err)
	}
}
