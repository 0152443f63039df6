package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is why a context ended: somebody sent the process a signal.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted" }

// exitCode is what shells make of the signal: 130 for Ctrl-C, 143 for SIGTERM.
func (i interrupted) exitCode() int { return 128 + int(i.signal) }

// wasInterrupted says by which signal ctx ended, if by one.
func wasInterrupted(ctx context.Context) (interrupted, bool) {
	var i interrupted
	ok := errors.As(context.Cause(ctx), &i)
	return i, ok
}

// untilSignal returns a context that ends with the first signal. The second one ends the process at once,
// for whoever does not want to wait until the first has been obeyed.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup asks for that
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case s := <-signals:
				number, _ := s.(syscall.Signal) // on every system that Go supports
				if !first {
					os.Exit(interrupted{number}.exitCode())
				}
				cancel(interrupted{number})
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
