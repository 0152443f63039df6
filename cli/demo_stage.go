package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctxhub/server"
)

// stage is where the demo plays: a home directory of its own with a hub and two projects in it.
type stage struct {
	sys      *system
	self     string // this program
	home     string
	port     int
	listener *background
	hub      *background // where a hub cannot be a daemon
	expected []string    // first lines of what was published
	step     int
}

func newStage(sys *system) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "ctx-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the demo: %w", err)
	}
	s := &stage{sys: sys, self: self, home: home, port: port}
	for _, project := range []string{"api", "web"} {
		if err := os.Mkdir(filepath.Join(home, project), 0o700); err != nil {
			return nil, firstOf(fmt.Errorf("make a directory for the demo: %w", err), s.clear())
		}
	}
	return s, nil
}

// freePort is one that nothing listens on. The hub must come back on the same one, so that it cannot choose
// for itself.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return strconv.Atoi(port)
}

func (s *stage) address() string     { return "127.0.0.1:" + strconv.Itoa(s.port) }
func (s *stage) dataDir() string     { return filepath.Join(s.home, ".ctx", "hub-data") }
func (s *stage) foregroundHub() bool { return runtime.GOOS == "windows" }

func (s *stage) title(text string) {
	s.step++
	s.sys.printf("\n%s\n", s.sys.paint(s.sys.outTerm, "1", fmt.Sprintf("%d. %s", s.step, text)))
}

// prompt writes a command as a person would type it.
func (s *stage) prompt(dir, command string) {
	s.sys.printf("  %s %s\n", s.sys.paint(s.sys.outTerm, "2", filepath.ToSlash(filepath.Join("~", dir))+" $"), strings.ReplaceAll(command, s.home, "~"))
}

func (s *stage) promptArgs(dir string, args []string, after string) {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = shellWord(arg)
	}
	s.prompt(dir, "ctx "+strings.Join(words, " ")+after)
}

// command is this program again, with the demo's home instead of the user's, and none of the user's settings.
func (s *stage) command(ctx context.Context, dir string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.self, args...) //nolint:gosec // ourselves
	cmd.Dir = filepath.Join(s.home, dir)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return strings.HasPrefix(name, "CTX_") || slices.Contains([]string{"HOME", "USERPROFILE", "NOTIFY_SOCKET", "WATCHDOG_USEC"}, name)
	})
	cmd.Env = append(cmd.Env, "HOME="+s.home, "USERPROFILE="+s.home)
	// A signal lets a command clean up: one that starts a daemon takes it along.
	cmd.Cancel = func() error { return endProcess(cmd.Process) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// endProcess asks a process to end; where it cannot be asked it is killed.
func endProcess(p *os.Process) error {
	if p.Signal(os.Interrupt) == nil {
		return nil
	}
	return p.Kill()
}

// show runs a command and prints it and what came out, without the details, which are indented, and the
// advice that follows an empty line.
func (s *stage) show(ctx context.Context, dir string, args ...string) error {
	s.promptArgs(dir, args, "")
	cmd := s.command(ctx, dir, args)
	var errText bytes.Buffer
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if err != nil {
		return stepFailed(ctx, args, err, errText.String())
	}
	result, _, _ := strings.Cut(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n\n")
	for line := range strings.Lines(strings.ReplaceAll(result, s.home, "~")) {
		if !strings.HasPrefix(line, " ") {
			s.sys.printf("    %s\n", strings.TrimRight(line, "\n"))
		}
	}
	return nil
}

func stepFailed(ctx context.Context, args []string, err error, text string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &advice{
		err:  fmt.Errorf("ctx %s failed: %w: %s", strings.Join(args, " "), err, text),
		hint: "please report this with the output of ctx version",
	}
}

func (s *stage) startHub(ctx context.Context) error {
	args := []string{"hub", "start", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port)}
	if !s.foregroundHub() {
		return s.show(ctx, "", append(args, "--daemon")...)
	}
	var err error
	if s.hub, err = s.begin("", args...); err != nil {
		return err
	}
	return s.hub.await(ctx, "is up at")
}

// killHub kills the hub by the process id in hub.pid, as a crash would, and returns when its port is free.
func (s *stage) killHub(ctx context.Context) error {
	file := filepath.Join(s.dataDir(), "hub.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("find the hub's process: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("find the hub's process: %w", err)
	}
	s.prompt("", "kill -9 $(cat "+file+")")
	if err := s.killProcess(pid); err != nil {
		return err
	}
	return until(ctx, "the killed hub's port to be free", func() (bool, error) {
		conn, err := net.DialTimeout("tcp", s.address(), time.Second) //nolint:noctx // until has the deadline
		if err != nil {
			return true, nil //nolint:nilerr // nobody there is what is wanted
		}
		return false, conn.Close()
	})
}

func (s *stage) killProcess(pid int) error {
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		return fmt.Errorf("kill the hub: %w", err)
	}
	if s.hub != nil {
		_ = s.hub.cmd.Wait() // it was killed, as planned
		s.hub = nil
	}
	return nil
}

// awaitMirror waits until all that is expected is in the mirror of decisions, and returns the headings.
func (s *stage) awaitMirror(ctx context.Context, project string) (headings []string, err error) {
	file := filepath.Join(s.home, project, ".context", "hub", "decisions.md")
	err = until(ctx, "the entry to arrive in "+project+"'s mirror", func() (bool, error) {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		headings = headingsOf(string(text))
		return len(headings) >= len(s.expected), nil
	})
	if err != nil {
		return nil, err
	}
	for i, heading := range headings {
		if i >= len(s.expected) || !strings.HasSuffix(heading, "] "+s.expected[i]) {
			return nil, fmt.Errorf("%s is not as it should be: %q instead of %q", file, headings, s.expected)
		}
	}
	return headings, nil
}

func headingsOf(markdown string) []string {
	var headings []string
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(line, "## [") {
			headings = append(headings, strings.TrimSpace(line))
		}
	}
	return headings
}

// clear ends all that still runs and removes the directory. It is for every way out.
func (s *stage) clear() error {
	for _, b := range []*background{s.listener, s.hub} {
		if b != nil {
			b.end()
		}
	}
	if local, err := server.FindLocal(s.dataDir()); err == nil {
		if p, err := os.FindProcess(local.PID); err == nil {
			_ = p.Kill() // it may be ending by itself
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = until(ctx, "the hub to end", func() (bool, error) {
			_, err := server.FindLocal(s.dataDir())
			return err != nil, nil
		}) // what is left then shows in removing its directory
	}
	if err := os.RemoveAll(s.home); err != nil {
		return fmt.Errorf("clean up after the demo: %w", err)
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
