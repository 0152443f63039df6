//go:build linux

package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
	healthv1 "ctxhub/gen/grpc/health/v1"
)

// curlOptions are the two versions of HTTP, as lines of a .curlrc, so that commands stay as they are in the docs.
var curlOptions = map[string]string{"HTTP1": "http1.1", "HTTP2": "http2-prior-knowledge"}

// example is a command of docs/api.md and the answer shown below it.
type example struct{ command, answer string }

var exampleBlocks = regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n+```json\n(.*?)^```$")

func apiExamples(t *testing.T) []example {
	t.Helper()
	page, err := os.ReadFile("../docs/api.md")
	check(t, err)
	var all []example
	for _, m := range exampleBlocks.FindAllStringSubmatch(string(page), -1) {
		all = append(all, example{m[1], m[2]})
	}
	if commands := strings.Count(string(page), "```sh\n"); len(all) == 0 || commands != len(all) {
		t.Fatalf("%d commands in the docs, %d with an answer", commands, len(all))
	}
	return all
}

// Every command of docs/api.md, run as it stands there, answers as it says there.
func TestAPIDocs(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	need(t, "bash")
	examples := apiExamples(t)
	for name, option := range curlOptions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t, "--heartbeat", "500ms")
			home := t.TempDir()
			check(t, os.WriteFile(filepath.Join(home, ".curlrc"), []byte(option+"\n"), 0o600))
			env := append(cleanEnv(home), "HUB=http://"+h.address, "ADMIN="+h.admin, "TOKEN="+h.register(t, "api"))
			for _, e := range examples {
				cmd := exec.CommandContext(t.Context(), "timeout", "30", "bash", "-e", "-c", e.command)
				cmd.Env = env
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v\n%s%s", err, e.command, out)
				}
				if problem := compareAnswers(e.answer, string(out)); problem != "" {
					t.Errorf("%s\n%s\ngot:\n%s", problem, e.command, out)
				}
			}
			contents := []string{"Use UTC everywhere", "Cron runs twice when the clock is set back", "Dates are ISO 8601"}
			sameContents(t, h, contents)
		})
	}
}

// Every method has a command in docs/api.md, and every one that changes nothing also a GET.
func TestAPIDocsCoverEveryMethod(t *testing.T) {
	t.Parallel()
	var posts, gets strings.Builder
	for _, e := range apiExamples(t) {
		if strings.Contains(e.command, "--get") {
			gets.WriteString(e.command)
		} else {
			posts.WriteString(e.command)
		}
	}
	files := []protoreflect.FileDescriptor{
		hubv1.File_ctx_hub_v1_hub_proto, hubv1.File_ctx_hub_v1_admin_proto, healthv1.File_grpc_health_v1_health_proto,
	}
	for _, file := range files {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				path := fmt.Sprintf("$HUB/%s/%s ", m.Parent().FullName(), m.Name())
				if !strings.Contains(posts.String(), path) {
					t.Errorf("no POST of %s", path)
				}
				level := m.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel()
				if level == descriptorpb.MethodOptions_NO_SIDE_EFFECTS && !strings.Contains(gets.String(), path) {
					t.Errorf("no GET of %s", path)
				}
			}
		}
	}
}

// varying are the fields whose values differ from run to run, and how they look.
var varying = map[string]*regexp.Regexp{
	"token": regexp.MustCompile(`^ctx_cli_[0-9a-f]{64}$`),
	"hubId": regexp.MustCompile(`^[0-9a-f]{32}$`),
	"sum":   sum, "afterSum": sum,
	"version":       regexp.MustCompile(`.`),
	"diskFreeBytes": regexp.MustCompile(`^[1-9][0-9]*$`),
	"createdAt":     timestamp, "revokedAt": timestamp, "startedAt": timestamp, "timestamp": timestamp,
}

var sum = regexp.MustCompile(`^[0-9a-f]{64}$`)

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

// compareAnswers compares JSON lines. It says what is different, or nothing.
func compareAnswers(want, got string) string {
	wants, gots := strings.Split(strings.TrimSpace(want), "\n"), strings.Split(strings.TrimSpace(got), "\n")
	if len(wants) != len(gots) {
		return fmt.Sprintf("%d lines, the docs have %d", len(gots), len(wants))
	}
	for i := range wants {
		var w, g any
		if err := json.Unmarshal([]byte(wants[i]), &w); err != nil {
			return "the docs: " + err.Error()
		}
		if err := json.Unmarshal([]byte(gots[i]), &g); err != nil {
			return "the answer: " + err.Error()
		}
		if problem := compareValues("", w, g); problem != "" {
			return problem
		}
	}
	return ""
}

func compareValues(key string, want, got any) string {
	if pattern, ok := varying[key]; ok {
		if text, ok := got.(string); !ok || !pattern.MatchString(text) {
			return fmt.Sprintf("%s is %v", key, got)
		}
		return ""
	}
	switch want := want.(type) {
	case map[string]any:
		object, _ := got.(map[string]any)
		if len(object) != len(want) {
			return fmt.Sprintf("%s is %v, the docs have %v", key, got, want)
		}
		for k, w := range want {
			if problem := compareValues(k, w, object[k]); problem != "" {
				return problem
			}
		}
		return ""
	case []any:
		list, _ := got.([]any)
		if len(list) != len(want) {
			return fmt.Sprintf("%s is %v, the docs have %v", key, got, want)
		}
		for i, w := range want {
			if problem := compareValues("", w, list[i]); problem != "" {
				return problem
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %v, the docs have %v", key, got, want)
	}
	return ""
}

// A Listen of curl shows each entry when it is published, and says at the end that the hub shuts down.
func TestFrontdoorCurlListenFollows(t *testing.T) {
	t.Parallel()
	curl := need(t, "curl")
	for name, option := range curlOptions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t)
			cmd := exec.Command(curl, "-sN", "--"+option, "--max-time", "60", "--get", "http://"+h.address+"/ctx.hub.v1.HubService/Listen",
				"-H", "Authorization: Bearer "+h.register(t, "reader"), "--data-urlencode", "message={}")
			p := start(t, cmd)
			await(t, "the first message", func() bool { return strings.Count(p.stdout.String(), "\n") == 1 })
			writer := h.client(t, h.register(t, "writer"))
			for i := range 3 {
				id := fmt.Sprint("live-", i)
				_, err := writer.Publish(t.Context(), &hubv1.NewEntry{Id: id, Type: "decision", Content: "Seen live"})
				check(t, err)
				await(t, id, func() bool { return strings.Contains(p.stdout.String(), id) })
			}
			h.stop()
			select {
			case <-p.ended:
			case <-time.After(patience):
				t.Fatal("curl goes on after the hub has ended")
			}
			var last string
			for lines := bufio.NewScanner(strings.NewReader(p.stdout.String())); lines.Scan(); {
				last = lines.Text()
			}
			want := `{"error":{"code":"unavailable","message":"the hub is shutting down: connect again"}}`
			if problem := compareAnswers(want, last); problem != "" {
				t.Errorf("%s: %s", problem, last)
			}
			if got := strings.Count(p.stdout.String(), "Seen live"); got != 3 {
				t.Errorf("%d entries, want 3:\n%s", got, p.stdout.String())
			}
		})
	}
}

// An entry of the largest size also comes in through curl, and one byte more is refused.
func TestFrontdoorCurlLargestEntry(t *testing.T) {
	t.Parallel()
	curl := need(t, "curl")
	for name, option := range curlOptions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t)
			token := h.register(t, "writer")
			send := func(content string) string {
				body, err := json.Marshal(map[string]any{"entries": []any{map[string]any{"id": client.NewID(), "type": "task", "content": content}}})
				check(t, err)
				file := filepath.Join(t.TempDir(), "body")
				check(t, os.WriteFile(file, body, 0o600))
				out, err := exec.CommandContext(t.Context(), curl, "-s", "--"+option, "--max-time", "60", "-w", "\n%{http_code}",
					"http://"+h.address+"/ctx.hub.v1.HubService/Publish", "-H", "Authorization: Bearer "+token,
					"-H", "Content-Type: application/json", "--data-binary", "@"+file).Output()
				check(t, err)
				return string(out)
			}
			text := noise(entryLimit)
			if problem := compareAnswers("{\"sequences\":[\"1\"]}\n200", send(text)); problem != "" {
				t.Error(problem)
			}
			contains(t, send(text+"."), "resource_exhausted", "1 MiB", "\n429")
			sameContents(t, h, []string{text})
		})
	}
}
