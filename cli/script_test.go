package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// programs are what the test binary can be, by the name it is called.
var programs = map[string]func(){"ctx": func() { os.Exit(Main()) }}

func TestMain(m *testing.M) { testscript.Main(m, programs) }

// TestScripts runs the real command against real hubs, one script for each command and one for each kind of
// bad luck.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"await":    await,
			"freeport": func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], listenOnce(ts)) },
			"stranger": stranger,
			"cert":     func(ts *testscript.TestScript, _ bool, args []string) { makeCert(ts, ts.MkAbs(args[0])) },
			"fill":     fill,
			"append":   appendText,
			"flip":     flip,
			"tokenof":  tokenOf,
			"mode":     mode,
			"killhub":  killHub,
			"verdict":  verdictOf,
		},
	})
}

func setUp(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("USERPROFILE", home)
	env.Setenv("NO_COLOR", "1")
	env.Defer(func() { killHubs(env.WorkDir) })
	// Scripts begin in a project's directory, and hosts' names are not what they are about.
	project := filepath.Join(env.WorkDir, "x")
	env.Cd = project
	return errors.Join(os.MkdirAll(project, 0o700), os.MkdirAll(home, 0o700))
}

// killHubs leaves no hub behind when a script ends, however it ends.
func killHubs(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "hub.pid" {
			killByFile(path)
		}
		return nil
	})
}

func killByFile(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
}

// exits CODE PROGRAM ARG... runs a program that must end with CODE, and if that is not 0, with one error line
// and one hint line, and nothing that only a programmer can read.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
	if code == 0 {
		return
	}
	stderr := ts.ReadFile("stderr")
	if wantsJSON(args) {
		checkJSONError(ts, stderr, code)
		return
	}
	for line, want := range map[string]int{"ctx: error: ": 1, "ctx: hint: ": 1, "Usage:": 0, "goroutine ": 0, "panic": 0} {
		if got := strings.Count(stderr, line); got != want {
			ts.Fatalf("%q stands %d times on stderr, want %d", line, got, want)
		}
	}
	if strings.Contains(ts.ReadFile("stdout"), "Usage:") {
		ts.Fatalf("usage on stdout")
	}
}

func checkJSONError(ts *testscript.TestScript, stderr string, code int) {
	var e explanation
	if err := json.Unmarshal([]byte(stderr), &e); err != nil {
		ts.Fatalf("stderr is not JSON: %v", err)
	}
	if e.Error == "" || e.Hint == "" || e.Exit != code {
		ts.Fatalf("incomplete: %+v", e)
	}
}

// await FILE TEXT waits until the file has the text in it.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(text), args[1]) {
			return
		}
	}
	ts.Fatalf("%q does not come up in %s", args[1], args[0])
}

func listenOnce(ts *testscript.TestScript) string {
	port, err := freePort()
	ts.Check(err)
	return strconv.Itoa(port)
}

// stranger VAR KIND puts the port of something that is not a hub in VAR: http (a web server) or text (it says
// something and hangs up).
func stranger(ts *testscript.TestScript, _ bool, args []string) {
	if args[1] == "http" {
		web := httptest.NewServer(http.NotFoundHandler())
		ts.Defer(web.Close)
		_, port, err := net.SplitHostPort(web.Listener.Addr().String())
		ts.Check(err)
		ts.Setenv(args[0], port)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "SSH-2.0-stranger\r\n")
			time.Sleep(50 * time.Millisecond) // what came in stays unread, and a reset would swallow the words
			_ = conn.Close()
		}
	}()
}

// fill FILE N makes a file of N letters.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), slices.Repeat([]byte("a"), n), 0o600))
}

// append FILE TEXT adds bytes without a line's end; \xNN is understood.
func appendText(ts *testscript.TestScript, _ bool, args []string) {
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(args[1], `"`, `\"`) + `"`)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(text)
	ts.Check(errors.Join(err, f.Close()))
}

// flip FILE N changes the N-th byte.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := []byte(ts.ReadFile(args[0]))
	text[n] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// tokenof VAR FILE puts a token that a hub wrote into VAR.
func tokenOf(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// mode FILE OCTAL compares a file's permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// killhub DIR kills the hub of a data directory and waits until it is gone.
func killHub(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	killByFile(filepath.Join(dir, "hub.pid"))
	ts.Check(awaitGone(dir))
}

// verdict CHECK VERDICT [NEXT] looks at what a doctor has written with --json. A problem must have a next step, and
// what is not checked a reason.
func verdictOf(ts *testscript.TestScript, _ bool, args []string) {
	var d diagnosis
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &d))
	found := false
	for _, f := range d.Checks {
		if f.Seen == "" || f.Verdict == verdictProblem && f.Next == "" {
			ts.Fatalf("incomplete: %+v", f)
		}
		if f.Check != args[0] {
			continue
		}
		found = true
		if string(f.Verdict) != args[1] {
			ts.Fatalf("%s is %q, want %q: %s", f.Check, f.Verdict, args[1], f.Seen)
		}
		if len(args) > 2 && !strings.Contains(f.Next, args[2]) {
			ts.Fatalf("%s: the next step is %q, want %q", f.Check, f.Next, args[2])
		}
	}
	if !found {
		ts.Fatalf("there is no check %q", args[0])
	}
}
