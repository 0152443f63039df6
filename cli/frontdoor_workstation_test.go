//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// workstation is a home directory with one project in it.
type workstation struct {
	t         *testing.T
	home, dir string
}

func newWorkstation(t *testing.T, project string) *workstation {
	t.Helper()
	return newWorkstationIn(t, t.TempDir(), project)
}

func newWorkstationIn(t *testing.T, home, project string) *workstation {
	t.Helper()
	w := &workstation{t: t, home: home, dir: filepath.Join(home, project)}
	check(t, os.Mkdir(w.dir, 0o700))
	return w
}

func cleanEnv(home string) []string {
	// The race detector sleeps for a second at the end of each process, unless it is told not to.
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1", "GORACE=atexit_sleep_ms=0"}
}

func (w *workstation) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ctx", args...)
	cmd.Dir, cmd.Env = w.dir, cleanEnv(w.home)
	return cmd
}

// ctx runs a command that must succeed and returns its output.
func (w *workstation) ctx(args ...string) string {
	w.t.Helper()
	code, stdout, stderr := w.run(args...)
	if code != 0 {
		w.t.Fatalf("ctx %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// fails runs a command that must end with this exit code and returns what it says about it.
func (w *workstation) fails(want int, args ...string) string {
	w.t.Helper()
	code, stdout, stderr := w.run(args...)
	if code != want || strings.Count(stderr, "ctx: error: ") != 1 || strings.Count(stderr, "ctx: hint: ") != 1 {
		w.t.Fatalf("ctx %s: exit code %d, want %d with one error and one hint\n%s%s", strings.Join(args, " "), code, want, stdout, stderr)
	}
	return stderr
}

func (w *workstation) run(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
	defer cancel()
	cmd := w.command(ctx, args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if failed := cmd.Run(); failed != nil && !errors.As(failed, new(*exec.ExitError)) {
		w.t.Fatal(failed)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// headings counts the decisions in the mirror that begin with this line.
func (w *workstation) headings(line string) int {
	return strings.Count(w.mirror("decisions.md"), "] "+line+"\n")
}

// listen starts ctx connection listen and waits until it has caught up with the hub.
func (w *workstation) listen() *process {
	w.t.Helper()
	p := start(w.t, w.command(context.Background(), "connection", "listen", "--json"))
	await(w.t, "the listener to catch up", func() bool {
		said := p.stdout.String()
		return strings.Contains(said, `"event":"level"`) || strings.Contains(said, `"event":"entries"`)
	})
	return p
}

// write puts text into a file of the workstation and returns its path.
func (w *workstation) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.home, name)
	check(w.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// mirror is one of the files that the project gets from the hub.
func (w *workstation) mirror(name string) string {
	text, err := os.ReadFile(filepath.Join(w.dir, ".context", "hub", name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Error(err)
	}
	return string(text)
}
