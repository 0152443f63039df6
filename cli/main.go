// Package cli is the ctx command: its grammar, its words and its exit codes. Each command has a file of its
// own; what a person is told about an error is in errors.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Main runs the command line this process was started with and returns its exit code.
func Main() int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	return run(ctx, osSystem())
}

// exited is how kong's own flags (--help, --version) leave the parser.
type exited int

func run(ctx context.Context, sys *system) (code int) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exited:
			code = int(p)
		default:
			code = report(ctx, sys, &advice{
				err:  fmt.Errorf("internal: %v (%s)", p, panicSite()),
				hint: "this is a bug in ctx: please report this line, with what you did and the output of ctx version",
			})
		}
	}()
	err := execute(ctx, sys)
	if err == nil && sys.out.err != nil {
		err = fmt.Errorf("write the output: %w", sys.out.err)
	}
	if err != nil {
		return report(ctx, sys, err)
	}
	return exitOK
}

func execute(ctx context.Context, sys *system) error {
	parser, err := newParser(sys)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(sys.args)
	if err != nil {
		return usageError(err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(sys, parser.Model)
}

func newParser(sys *system) (*kong.Kong, error) {
	return kong.New(&grammar{},
		kong.Name("ctx"),
		kong.Description("ctx shares what projects know (decisions, learnings, conventions, tasks) through a hub.\n\n"+
			"See it at work first: ctx demo"),
		kong.Vars{"version": versionLine()},
		kong.Writers(sys.out, sys.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
}

// usageError turns what the parser says into an error with the help of the command that was meant.
func usageError(err error) error {
	command := "ctx"
	if parse := new(kong.ParseError); errors.As(err, &parse) {
		for _, step := range parse.Context.Path {
			if step.Command != nil {
				command = step.Command.FullPath()
			}
		}
	}
	return &advice{err: err, hint: command + " --help", exit: exitUsage}
}

// wantsJSON looks at the words themselves, so that errors in the command line are JSON too.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

// panicSite is the place in this module that was running when the panic began.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for panicked := false; ; {
		frame, more := frames.Next()
		if panicked && strings.HasPrefix(frame.Function, "ctxhub/") {
			return fmt.Sprintf("%s:%d", frame.Function, frame.Line)
		}
		panicked = panicked || strings.HasPrefix(frame.Function, "runtime.gopanic")
		if !more {
			return "unknown place"
		}
	}
}
