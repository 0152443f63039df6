package cli

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// background is a command that goes on while others run.
type background struct {
	cmd  *exec.Cmd
	args []string
	out  *sharedBuffer
}

func (s *stage) begin(dir string, args ...string) (*background, error) {
	s.promptArgs(dir, args, " &")
	b := &background{args: args, out: new(sharedBuffer)}
	b.cmd = s.command(context.Background(), dir, args) // until end
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start ctx %s: %w", strings.Join(args, " "), err)
	}
	return b, nil
}

// await waits until the command has said something.
func (b *background) await(ctx context.Context, words string) error {
	what := fmt.Sprintf("ctx %s to say %q", strings.Join(b.args, " "), words)
	return until(ctx, what, func() (bool, error) {
		said := b.out.String()
		if strings.Contains(said, "ctx: error:") {
			return false, fmt.Errorf("ctx %s failed: %s", strings.Join(b.args, " "), said)
		}
		return strings.Contains(said, words), nil
	})
}

func (b *background) end() {
	_ = endProcess(b.cmd.Process) // it may have ended
	_ = b.cmd.Wait()
}

// until asks again and again until the answer is yes, for at most ten seconds.
func until(ctx context.Context, what string, ask func() (bool, error)) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited in vain for %s", what)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

type sharedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *sharedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *sharedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
