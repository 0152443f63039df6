package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"ctxhub/client"
	"ctxhub/client/project"
	"ctxhub/server"
)

// Exit codes, the same for every command.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitPartial     = 3
	exitAuth        = 4
	exitNotFound    = 5
	exitConflict    = 6
	exitUnreachable = 8
)

// Hints that more than one error has. HOST:PORT becomes the hub's address where it is known.
const (
	registerAgain = "ctx connection register HOST:PORT --token - --force"
	lookAtHub     = "on the hub's host: ctx hub status"
)

// known says what to tell a person about an error that one of our packages can name.
var known = []struct {
	is   error
	exit int
	hint string
}{
	{project.ErrNoContext, exitNotFound, "in the project's directory: ctx connection register HOST:PORT --token -"},
	{project.ErrNotRegistered, exitNotFound, "ctx connection register HOST:PORT --token -"},
	{project.ErrKeyMode, exitAuth, "chmod 600 ~/.ctx/.ctx.key"},
	{project.ErrKeyMissing, exitAuth, "put ~/.ctx/.ctx.key back, or " + registerAgain},
	{project.ErrSealed, exitAuth, registerAgain},
	{project.ErrKeySize, exitAuth, "put ~/.ctx/.ctx.key back, or remove it and register each project again: " + registerAgain},
	{project.ErrLocked, exitConflict, "wait for the other ctx connection sync or listen to end, then run this again"},
	{project.ErrNoTypes, exitUsage, "ctx connection subscribe decision learning convention task"},
	{project.ErrNewerState, exitError, "install the newer ctx; this one is: ctx version"},
	{project.ErrReconnected, exitConflict, "run the same command again"},
	{project.ErrUnsettled, exitError, "ctx connection status"},
	{project.ErrLink, exitError, "look where it points, then remove it: ls -l .context; rm .context/hub"},
	{project.ErrBadStream, exitError, "compare versions: ctx version here, and " + lookAtHub},

	{client.ErrServerWantsTLS, exitUnreachable, "ctx connection register https://HOST:PORT --token - --force"},
	{client.ErrServerIsPlaintext, exitUnreachable, "ctx connection register http://HOST:PORT --token - --force"},
	{client.ErrCertificate, exitUnreachable, "ctx connection register https://HOST:PORT --ca-cert FILE --token - --force"},
	{client.ErrNotAHub, exitUnreachable, "check host and port; " + lookAtHub},
	{client.ErrUnreachable, exitUnreachable, "check address and firewall; " + lookAtHub},
	{client.ErrTimeout, exitUnreachable, "check host and port; " + lookAtHub},
	{client.ErrConnectionLost, exitUnreachable, "run the same command again; " + lookAtHub},
	{client.ErrProxy, exitUnreachable, "on the proxy's host, see its error log; " + lookAtHub},
	{client.ErrRestored, exitConflict, "run the same command again"},
	{client.ErrTooLarge, exitError, "raise the proxy's limit: client_max_body_size 8m; in nginx's server block"},

	{server.ErrNotRunning, exitUnreachable, "ctx hub start --daemon"},
	{server.ErrPortTaken, exitConflict, "choose another port: ctx hub start --port 9901"},
	{server.ErrInUse, exitConflict, "ctx hub status; to end it: ctx hub stop"},
	{server.ErrDamaged, exitError, "go back to a backup: ctx hub restore FILE --force; or see what can be kept: ctx hub repair --dry-run"},
	{server.ErrDataDir, exitError, "ctx hub start --data-dir DIRECTORY, with one that you may write to"},
	{server.ErrNewerFormat, exitError, "install the newer ctx; this one is: ctx version"},
	{server.ErrOlderFormat, exitError, "ctx hub start"},
	{server.ErrBadConfig, exitUsage, "ctx hub start --help"},
}

// codes says it about what the hub answered.
var codes = map[connect.Code]struct {
	exit int
	hint string
}{
	connect.CodeUnauthenticated:    {exitAuth, "ask the hub's operator for a token, then: " + registerAgain},
	connect.CodePermissionDenied:   {exitAuth, "this needs the admin token; on the hub's host: cat ~/.ctx/hub-data/admin.token"},
	connect.CodeInvalidArgument:    {exitUsage, "ctx connection publish --help"},
	connect.CodeNotFound:           {exitNotFound, "ctx hub project list"},
	connect.CodeAlreadyExists:      {exitConflict, "choose another id, or leave --id out"},
	connect.CodeResourceExhausted:  {exitError, "wait a little and run the same command again"},
	connect.CodeUnavailable:        {exitUnreachable, "run the same command again; " + lookAtHub},
	connect.CodeDeadlineExceeded:   {exitUnreachable, "run the same command again; " + lookAtHub},
	connect.CodeUnimplemented:      {exitUnreachable, "compare versions: ctx version here, and " + lookAtHub},
	connect.CodeDataLoss:           {exitError, lookAtHub},
	connect.CodeInternal:           {exitError, "the hub's log says more; " + lookAtHub},
	connect.CodeFailedPrecondition: {exitError, lookAtHub},
	connect.CodeOutOfRange:         {exitError, "ctx connection sync"},
}

// answered tells whether the hub itself, and nothing on the way to it, refused a call with one of the codes.
func answered(err error, with ...connect.Code) bool {
	return connect.IsWireError(err) && slices.Contains(with, connect.CodeOf(err))
}

// isAnswer tells whether the hub itself gave this error: what is between here and there works.
func isAnswer(err error) bool { return connect.IsWireError(err) }

// What a command tells apart in the hub's answers.
func isTaken(err error) bool     { return answered(err, connect.CodeAlreadyExists) }
func isUnknown(err error) bool   { return answered(err, connect.CodeNotFound) }
func isMissing(err error) bool   { return answered(err, connect.CodeFailedPrecondition) }
func isMalformed(err error) bool { return answered(err, connect.CodeInvalidArgument) }
func isDenied(err error) bool {
	return answered(err, connect.CodeUnauthenticated, connect.CodePermissionDenied)
}

// isUnsettled tells whether the hub may have done what it was asked without being heard.
func isUnsettled(err error) bool {
	return errors.Is(err, client.ErrTimeout) || errors.Is(err, client.ErrConnectionLost) || connect.CodeOf(err) == connect.CodeCanceled
}

// advice is an error of which the command knows more than the tables do. Fields that are empty are theirs.
type advice struct {
	err   error
	hint  string // the next command to type
	exit  int
	hub   string // the hub's address, in place of HOST:PORT
	fresh bool   // the project is not registered yet: no hint needs --force
}

func (a *advice) Error() string { return a.err.Error() }
func (a *advice) Unwrap() error { return a.err }

// usage is an error in what was typed.
func usage(hint, format string, args ...any) error {
	return &advice{err: fmt.Errorf(format, args...), hint: hint, exit: exitUsage}
}

// explanation is what a person, or a program, is told.
type explanation struct {
	Error     string `json:"error"`
	Hint      string `json:"hint,omitempty"`
	Exit      int    `json:"exit_code"`
	RequestID string `json:"request_id,omitempty"` // under which the hub's log has the call
}

func explain(err error) explanation {
	e := explanation{Error: sentence(err), RequestID: requestID(err)}
	if !strings.Contains(e.Error, e.RequestID) { // an internal error has it in its sentence
		e.Error += " (request " + e.RequestID + ")"
	}
	e.Exit, e.Hint = lookUp(err)
	var advices []*advice // from the inside out: who called knows best
	for a, rest := new(advice), err; errors.As(rest, &a); rest = a.err {
		advices = slices.Insert(advices, 0, a)
	}
	for _, a := range advices {
		if a.exit != 0 {
			e.Exit = a.exit
		}
		if a.hint != "" {
			e.Hint = a.hint
		}
		if a.fresh {
			e.Hint = strings.ReplaceAll(e.Hint, " --force", "")
		}
		if a.hub != "" {
			e.Hint = withAddress(e.Hint, a.hub)
		}
	}
	return e
}

// withAddress puts the hub's address where a hint says HOST:PORT, with the scheme that the hint asks for.
func withAddress(hint, hub string) string {
	bare := hub
	if _, after, found := strings.Cut(hub, "://"); found {
		bare = after
	}
	return strings.NewReplacer("https://HOST:PORT", "https://"+bare, "http://HOST:PORT", "http://"+bare,
		"HOST:PORT", hub).Replace(hint)
}

func lookUp(err error) (exit int, hint string) {
	for _, k := range known {
		if errors.Is(err, k.is) {
			return k.exit, k.hint
		}
	}
	if wire := new(connect.Error); errors.As(err, &wire) {
		if c, ok := codes[wire.Code()]; ok {
			return c.exit, c.hint
		}
	}
	if address := new(client.AddressError); errors.As(err, &address) {
		return exitUsage, "ctx connection register nexus.local:9900 --token -"
	}
	return exitError, ""
}

// sentence is the error on one line, lower case and without a full stop, and without the code's name, which
// the exit code tells.
func sentence(err error) string {
	text := err.Error()
	if wire := new(connect.Error); errors.As(err, &wire) {
		text = strings.Replace(text, wire.Error(), wire.Message(), 1)
	}
	text = strings.TrimRight(oneLine(strings.ReplaceAll(text, "\n", "; ")), ".")
	if len(text) > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z' {
		text = string(text[0]+'a'-'A') + text[1:]
	}
	return text
}

// requestID is what the hub calls the request that it refused; empty if something on the way to it did.
func requestID(err error) string {
	wire := new(connect.Error)
	if !errors.As(err, &wire) || !connect.IsWireError(err) {
		return ""
	}
	id := oneLine(wire.Meta().Get("X-Request-Id"))
	if len(id) > 64 { // no hub of ours says so
		return ""
	}
	return id
}

// errEnded is the end of a command that only ends when it is told to. There is nothing to say about it.
var errEnded = errors.New("ended")

// report tells the error and returns the exit code.
func report(ctx context.Context, sys *system, err error) int {
	e := explain(err)
	if i, ok := wasInterrupted(ctx); ok {
		if errors.Is(err, errEnded) {
			return i.exitCode()
		}
		e = explanation{Error: i.Error(), Hint: "run the same command again, it goes on where it stopped", Exit: i.exitCode()}
	}
	if wantsJSON(sys.args) {
		if line, err := json.Marshal(e); err == nil {
			fmt.Fprintf(sys.err, "%s\n", line)
		}
		return e.Exit
	}
	fmt.Fprintf(sys.err, "ctx: error: %s\n", e.Error)
	if e.Hint != "" {
		fmt.Fprintf(sys.err, "ctx: hint: %s\n", e.Hint)
	}
	return e.Exit
}
