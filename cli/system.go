package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// system is all that a command may touch of the process it runs in. Tests put their own in its place.
type system struct {
	args    []string // without the program's name
	in      io.Reader
	out     *output
	err     io.Writer
	env     func(string) string
	secret  func() ([]byte, error) // reads a line without showing it; nil if stdin is no terminal
	outTerm bool                   // stdout is a terminal that takes escape sequences
	errTerm bool                   // stderr is one
	width   int                    // columns of that terminal
}

func osSystem() *system {
	stdin, stderr := int(os.Stdin.Fd()), int(os.Stderr.Fd())
	sys := &system{
		args: os.Args[1:], in: os.Stdin, out: &output{w: os.Stdout}, err: os.Stderr, env: os.Getenv,
		outTerm: isTerminal(os.Stdout), errTerm: isTerminal(os.Stderr), width: 80,
	}
	if term.IsTerminal(stdin) {
		sys.secret = func() ([]byte, error) { return term.ReadPassword(stdin) }
	}
	if columns, _, err := term.GetSize(stderr); err == nil && columns > 0 {
		sys.width = columns
	}
	return sys
}

func isTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// output remembers that a write failed, so that a full disk under stdout is not a success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// printf writes to stdout; run reports if that failed.
func (s *system) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// warn tells a person something that is no error. Nothing is left to do if stderr fails.
func (s *system) warn(format string, args ...any) {
	fmt.Fprintf(s.err, "ctx: warning: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// paint puts text in an ANSI style where the terminal and NO_COLOR allow it.
func (s *system) paint(terminal bool, style, text string) string {
	if !terminal || s.env("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}
