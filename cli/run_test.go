package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"ctxhub/client"
	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// Every command's help shows a command line that the grammar takes.
func TestHelpHasExamples(t *testing.T) {
	parser, err := newParser(&system{out: &output{w: new(bytes.Buffer)}, err: new(bytes.Buffer)})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		examples := 0
		for line := range strings.Lines(leaf.Detail) {
			_, example, found := strings.Cut(line, leaf.FullPath())
			if !found || !strings.HasPrefix(line, "    ") {
				continue
			}
			examples++
			args := append(strings.Fields(leaf.FullPath())[1:], strings.Fields(example)...)
			if shell := strings.IndexFunc(example, func(r rune) bool { return strings.ContainsRune(`"')>`, r) }); shell >= 0 {
				continue // a shell's words, which the scripts try
			}
			if err := parses(args); err != nil {
				t.Errorf("%q: %v", strings.TrimSpace(line), err)
			}
		}
		if examples == 0 {
			t.Errorf("%s has no example in its help", leaf.FullPath())
		}
	}
}

// parses takes a parser of its own, as one keeps what it has read.
func parses(args []string) error {
	parser, err := newParser(&system{out: &output{w: new(bytes.Buffer)}, err: new(bytes.Buffer)})
	if err == nil {
		_, err = parser.Parse(args)
	}
	return err
}

func TestErrorsAsJSON(t *testing.T) {
	code, stdout, stderr := inProcess(t, "hub", "status", "--json", "--nonsense")
	var e explanation
	if err := json.Unmarshal([]byte(stderr), &e); err != nil {
		t.Fatalf("%v in %q", err, stderr)
	}
	if code != exitUsage || e.Exit != exitUsage || e.Error == "" || e.Hint != "ctx hub status --help" || stdout != "" {
		t.Errorf("code %d, %+v, stdout %q", code, e, stdout)
	}
}

// A panic is told as one error that says where, and is not a stack trace.
func TestPanicIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	sys := &system{args: []string{"version"}, out: &output{w: panicWriter{}}, err: &stderr, env: func(string) string { return "" }}
	code := run(t.Context(), sys)
	text := stderr.String()
	if code != exitError || !strings.HasPrefix(text, "ctx: error: internal: the writer broke (ctxhub/cli.") ||
		strings.Count(text, "\n") != 2 || !strings.Contains(text, "\nctx: hint: ") {
		t.Errorf("code %d, %q", code, text)
	}
}

type panicWriter struct{}

func (panicWriter) Write([]byte) (int, error) { panic("the writer broke") }

// A full disk under stdout is not a success.
func TestFailedOutputIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	sys := &system{args: []string{"version"}, out: &output{w: failingWriter{}}, err: &stderr, env: func(string) string { return "" }}
	if code := run(t.Context(), sys); code != exitError || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("code %d, %q", code, stderr.String())
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestExplain(t *testing.T) {
	wire := func(code connect.Code, text string) error { return connect.NewError(code, errors.New(text)) }
	// A wire error can only be had from the wire.
	refused := func(id, text string) error {
		h := connect.NewUnaryHandlerSimple("/s/m", func(context.Context, *hubv1.StatusRequest) (*hubv1.StatusResponse, error) {
			err := connect.NewError(connect.CodeDataLoss, errors.New(text))
			err.Meta().Set("X-Request-Id", id)
			return nil, err
		})
		server := httptest.NewServer(h)
		defer server.Close()
		_, err := connect.NewClient[hubv1.StatusRequest, hubv1.StatusResponse](server.Client(), server.URL+"/s/m").
			CallUnary(t.Context(), connect.NewRequest(&hubv1.StatusRequest{}))
		return err
	}
	tests := []struct {
		name string
		err  error
		want explanation
	}{
		{"a sentinel", fmt.Errorf("/x: %w", project.ErrNotRegistered),
			explanation{"/x: this project is not registered with a hub", "ctx connection register HOST:PORT --token -", exitNotFound, ""}},
		{"a code, without its name", fmt.Errorf("sync: %w", wire(connect.CodeUnauthenticated, "The token is wrong.")),
			explanation{"sync: The token is wrong", "ask the hub's operator for a token, then: " + registerAgain, exitAuth, ""}},
		{"lower case and one line", wire(connect.CodeInternal, "Something\nbroke\x1b[2J."),
			explanation{"something; broke [2J", codes[connect.CodeInternal].hint, exitError, ""}},
		{"the sentinel goes before the code", connect.NewError(connect.CodeUnavailable, client.ErrProxy),
			explanation{client.ErrProxy.Error(), "on the proxy's host, see its error log; " + lookAtHub, exitUnreachable, ""}},
		{"the hub's address", &advice{err: client.ErrServerWantsTLS, hub: "a:1"},
			explanation{client.ErrServerWantsTLS.Error(), "ctx connection register https://a:1 --token - --force", exitUnreachable, ""}},
		{"the hub's address has a scheme", &advice{err: client.ErrServerIsPlaintext, hub: "https://a:1", fresh: true},
			explanation{client.ErrServerIsPlaintext.Error(), "ctx connection register http://a:1 --token -", exitUnreachable, ""}},
		{"the outer advice wins", &advice{err: &advice{err: errNoToken, hint: "inner", exit: exitAuth}, hint: "outer"},
			explanation{errNoToken.Error(), "outer", exitAuth, ""}},
		{"what the hub refused has its request's id", refused("req-1", "no"), explanation{"no (request req-1)", lookAtHub, exitError, "req-1"}},
		{"an internal error has it already", refused("req-1", "see req-1"), explanation{"see req-1", lookAtHub, exitError, "req-1"}},
		{"what nobody can use as one is none", refused(strings.Repeat("x", 65), "no"), explanation{"no", lookAtHub, exitError, ""}},
		{"unknown", errors.New("odd"), explanation{"odd", "", exitError, ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := explain(tt.err); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// An interrupted command says so, whatever else its context's end has broken; one that ends that way says nothing.
func TestInterrupted(t *testing.T) {
	for _, tt := range []struct {
		err    error
		signal syscall.Signal
		code   int
		lines  int
	}{
		{errors.New("canceled"), syscall.SIGINT, 130, 2},
		{errEnded, syscall.SIGINT, 130, 0},
		{errEnded, syscall.SIGTERM, 143, 0},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(interrupted{tt.signal})
		var stderr bytes.Buffer
		code := report(ctx, &system{err: &stderr}, tt.err)
		if code != tt.code || strings.Count(stderr.String(), "\n") != tt.lines {
			t.Errorf("%v: code %d, %q", tt.err, code, stderr.String())
		}
	}
}

// Types of entry, flags and commands are all among the words to complete.
func TestCompletionKnowsEveryCommand(t *testing.T) {
	parser, err := newParser(&system{out: &output{w: new(bytes.Buffer)}, err: new(bytes.Buffer)})
	if err != nil {
		t.Fatal(err)
	}
	words := map[string][]string{}
	collect(parser.Model.Node, "", words)
	for _, leaf := range parser.Model.Leaves(true) {
		path := strings.TrimPrefix(leaf.FullPath(), "ctx ")
		if _, ok := words[path]; !ok {
			t.Errorf("%s is not completed", path)
		}
	}
	for _, shell := range []struct{ name, script string }{{"bash", bashScript(words)}, {"fish", fishScript(words)}} {
		check, err := exec.LookPath(shell.name)
		if err != nil {
			continue // the scripts' text is looked at in testdata
		}
		cmd := exec.Command(check, "-n")
		cmd.Stdin = strings.NewReader(shell.script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell.name, err, out)
		}
	}
}

// The bar keeps away from quick syncs and from what is no terminal.
func TestBar(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		noColor  string
		after    time.Duration
		want     string
	}{
		{"quick", true, "1", barDelay - time.Millisecond, ""},
		{"no terminal", false, "", barDelay, ""},
		{"slow", true, "1", barDelay, "\r\x1b[Ksync " + strings.Repeat("█", 15) + strings.Repeat("░", 15) + "  50%  1,000 of 2,000\r\x1b[K"},
		{"in colour", true, "", barDelay, "\r\x1b[Ksync \x1b[36m" + strings.Repeat("█", 15) + "\x1b[0m" + strings.Repeat("░", 15) + "  50%  1,000 of 2,000\r\x1b[K"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			start := time.Unix(0, 0)
			b := &bar{
				sys:  &system{err: &stderr, errTerm: tt.terminal, width: 80, env: func(string) string { return tt.noColor }},
				what: "sync", count: count[uint64], now: func() time.Time { return start.Add(tt.after) }, due: start.Add(barDelay),
			}
			b.show(1000, 2000)
			b.show(1001, 2000) // too soon for another
			b.clear()
			if got := stderr.String(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
