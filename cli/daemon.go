package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"ctxhub/server"
)

// readyVariable tells a daemon the descriptor of the pipe on which its parent waits.
const readyVariable = "CTX_HUB_READY_FD"

// readyPipe is the daemon's end of that pipe. Whatever else ends the daemon also closes it.
type readyPipe struct{ file *os.File }

// readyMessage is what the parent prints. The admin token is not in it: it goes to the log alone.
type readyMessage struct {
	URL      string   `json:"url"`
	DataDir  string   `json:"data_dir"`
	First    bool     `json:"first"`
	Warnings []string `json:"warnings"`
}

// parentPipe is nil in a process that is not a daemon's child.
func parentPipe(sys *system) *readyPipe {
	fd, err := strconv.Atoi(sys.env(readyVariable))
	if err != nil {
		return nil
	}
	return &readyPipe{os.NewFile(uintptr(fd), "ready")}
}

func (p *readyPipe) ready(s server.Started) error {
	if p == nil {
		return nil
	}
	message := readyMessage{s.URL, s.DataDir, s.AdminToken != "", s.Warnings}
	return errors.Join(json.NewEncoder(p.file).Encode(message), p.file.Close())
}

// daemonize runs this command line again in a session of its own and returns when the hub answers, or with
// the daemon's own words when it ends before that. The arguments go over as they are, so that none is lost;
// the variable in its environment tells the child which of the two it is.
func (c *hubStart) daemonize(ctx context.Context, sys *system) error {
	if runtime.GOOS == "windows" {
		return &advice{
			err:  errors.New("--daemon does not work on Windows"),
			hint: "leave the window open with ctx hub start, or let Task Scheduler or NSSM run that command", exit: exitUsage,
		}
	}
	dir, err := c.path()
	if err != nil {
		return err
	}
	log, err := openLog(dir)
	if err != nil {
		return err
	}
	defer log.Close()
	start, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	child, message, err := spawn(ctx, sys, log)
	if err != nil {
		return err
	}
	if message == nil {
		return daemonFailed(ctx, child, log, start)
	}
	c.reportDaemon(sys, child.Process.Pid, log.Name(), *message)
	return child.Process.Release()
}

func openLog(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", server.ErrDataDir, err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "hub.log"), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", server.ErrDataDir, err)
	}
	return log, nil
}

// spawn starts the daemon and waits until it is ready (message) or has ended (no message).
func spawn(ctx context.Context, sys *system, log *os.File) (child *exec.Cmd, message *readyMessage, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("start the daemon: %w", err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start the daemon: %w", err)
	}
	defer reader.Close()
	child = exec.Command(self, sys.args...) //nolint:gosec,noctx // ourselves, and it outlives this process
	child.Stdout, child.Stderr = log, log
	child.ExtraFiles = []*os.File{writer} // descriptor 3
	child.Env = append(os.Environ(), readyVariable+"=3")
	detach(child)
	err = errors.Join(child.Start(), writer.Close())
	if err != nil {
		return nil, nil, fmt.Errorf("start the daemon: %w", err)
	}
	// A daemon that nobody waited for to the end should not be left behind.
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Kill() })
	defer stop()
	message = new(readyMessage)
	if json.NewDecoder(reader).Decode(message) != nil {
		return child, nil, nil
	}
	return child, message, nil
}

// daemonFailed is the daemon's last error, hint and exit code, from what it added to the log.
func daemonFailed(ctx context.Context, child *exec.Cmd, log *os.File, start int64) error {
	_ = child.Wait() // how it ended is in ProcessState
	if i, ok := wasInterrupted(ctx); ok {
		return i
	}
	size, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	text := make([]byte, max(size-start, 0))
	if _, err := log.ReadAt(text, start); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the log: %w", err)
	}
	failed := &advice{
		err:  fmt.Errorf("the hub ended before it was ready (%s)", child.ProcessState),
		hint: "tail " + shellWord(log.Name()), exit: max(child.ProcessState.ExitCode(), exitError),
	}
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if words, ok := strings.CutPrefix(line, "ctx: error: "); ok {
			failed.err = errors.New(words)
		}
		if words, ok := strings.CutPrefix(line, "ctx: hint: "); ok {
			failed.hint = words
		}
	}
	return failed
}

func (c *hubStart) reportDaemon(sys *system, pid int, log string, m readyMessage) {
	for _, warning := range m.Warnings {
		sys.warn("%s", warning)
	}
	address := typedAddress(m.URL)
	sys.printf("ctx hub is up at %s\n", address)
	sys.rows([2]string{"data", m.DataDir}, [2]string{"pid", strconv.Itoa(pid)}, [2]string{"log", log})
	about := "The admin token"
	if m.First {
		about = "The admin token, made just now"
	}
	sys.next(about, "cat "+shellWord(filepath.Join(m.DataDir, "admin.token")))
	sys.next("Then, in each project's directory", registerCommand(address), subscribeAll)
	sys.next("To stop it", c.command("ctx hub stop"))
}
