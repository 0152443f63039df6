//go:build linux

package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// promtool must have nothing to say.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, "promtool"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs", name))
	check(t, err)
	return string(text)
}

// scrape reads /metrics of a hub that has done a little of everything.
func scrape(t *testing.T) string {
	t.Helper()
	h := startHub(t)
	token := h.register(t, "api")
	c := h.client(t, token)
	_, err := c.Publish(t.Context(), &hubv1.NewEntry{Id: "a", Type: "task", Content: "hush"})
	check(t, err)
	for res, err := range c.Listen(t.Context(), &hubv1.ListenRequest{}) {
		check(t, err)
		if res.GetCursor() == 1 {
			break
		}
	}
	_, err = h.client(t, "ctx_cli_wrong").Status(t.Context())
	if err == nil {
		t.Error("a wrong token is good")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.address+"/metrics", http.NoBody)
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	check(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(t, err)
	if res.StatusCode != http.StatusOK || strings.Contains(string(text), `"api"`) || strings.Contains(string(text), "hush") {
		t.Fatalf("%d\n%s", res.StatusCode, text)
	}
	return string(text)
}

var (
	metricTypes = regexp.MustCompile(`(?m)^# TYPE (ctxhub_\w+) (\w+)$`)
	metricNames = regexp.MustCompile(`\bctxhub_\w+`)
)

// Prometheus' own tool has nothing against the hub's metrics, and every one that the docs name is there, and every one
// that is there is explained and shown.
func TestMetricsAreAsTheDocsSay(t *testing.T) {
	t.Parallel()
	need(t, "promtool")
	text := scrape(t)
	if out := promtool(t, text, "check", "metrics"); out != "" {
		t.Errorf("promtool check metrics: %s", out)
	}
	page, dashboard := readDoc(t, "monitoring.md"), readDoc(t, "grafana-dashboard.json")
	known := map[string]bool{}
	for _, m := range metricTypes.FindAllStringSubmatch(text, -1) {
		name := m[1]
		known[name] = true
		if m[2] == "histogram" {
			known[name+"_bucket"], known[name+"_sum"], known[name+"_count"] = true, true, true
		}
		if !strings.Contains(page, "| `"+name+"` | "+m[2]) {
			t.Errorf("docs/monitoring.md does not explain the %s %s", m[2], name)
		}
		if !strings.Contains(dashboard, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	if len(known) < 15 {
		t.Fatalf("only %d metrics", len(known))
	}
	for _, doc := range []string{"monitoring.md", "grafana-dashboard.json", "prometheus-rules.yml"} {
		names := metricNames.FindAllString(readDoc(t, doc), -1)
		if len(names) < 10 {
			t.Errorf("%s names only %d metrics", doc, len(names))
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("docs/%s names %s, which no hub shows", doc, name)
			}
		}
	}
}

// The alerts load, fire when they should, and are quiet in health. Each is explained.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	need(t, "promtool")
	rules, err := filepath.Abs("../docs/prometheus-rules.yml")
	check(t, err)
	promtool(t, "", "check", "rules", rules)
	tests, err := os.ReadFile("testdata/frontdoor/prometheus-test.yml")
	check(t, err)
	file := filepath.Join(t.TempDir(), "test.yml")
	check(t, os.WriteFile(file, []byte(strings.Replace(string(tests), "[RULES]", "["+strconv.Quote(rules)+"]", 1)), 0o600))
	promtool(t, "", "test", "rules", file)
	page := readDoc(t, "monitoring.md")
	alerts := regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(readDoc(t, "prometheus-rules.yml"), -1)
	for _, a := range alerts {
		if !strings.Contains(page, "| `"+a[1]+"` |") {
			t.Errorf("docs/monitoring.md does not say what to do about %s", a[1])
		}
		if !strings.Contains(string(tests), "alertname: "+a[1]+"}") {
			t.Errorf("no test says when %s is quiet", a[1])
		}
	}
	if told := strings.Count(page, "| `CtxHub"); told != len(alerts) {
		t.Errorf("%d alerts, %d are explained", len(alerts), told)
	}
}

// dashboard is what matters of Grafana's format.
type dashboard struct {
	Title      string `json:"title"`
	Templating struct {
		List []struct{ Name, Type, Query any }
	} `json:"templating"`
	Panels []struct {
		ID         int
		Title      string
		Datasource struct{ Type, UID string }
		Targets    []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	} `json:"panels"`
}

func TestGrafanaDashboard(t *testing.T) {
	t.Parallel()
	need(t, "promtool")
	var d dashboard
	check(t, json.Unmarshal([]byte(readDoc(t, "grafana-dashboard.json")), &d))
	if len(d.Templating.List) != 2 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" ||
		d.Templating.List[0].Query != "prometheus" {
		t.Errorf("the data source is no variable: %v", d.Templating.List)
	}
	ids := map[int]bool{}
	rules := &strings.Builder{}
	rules.WriteString("groups:\n- name: panels\n  rules:\n")
	for i, p := range d.Panels {
		if p.Datasource.UID != "${datasource}" || p.Title == "" || len(p.Targets) == 0 || ids[p.ID] {
			t.Errorf("panel %d (%s) is not sound", p.ID, p.Title)
		}
		ids[p.ID] = true
		for j, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
			if target.Datasource.UID != "${datasource}" || strings.Contains(expr, "$") {
				t.Errorf("%s asks %q of %s", p.Title, target.Expr, target.Datasource.UID)
			}
			fmt.Fprintf(rules, "  - {record: 'panel:%d:%d', expr: %s}\n", i, j, strconv.Quote(expr))
		}
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	check(t, os.WriteFile(file, []byte(rules.String()), 0o600))
	if out := promtool(t, "", "check", "rules", file); !strings.Contains(out, "rules found") || len(d.Panels) < 15 {
		t.Errorf("%d panels: %s", len(d.Panels), out)
	}
}

var (
	monitoringShell = regexp.MustCompile("(?s)```sh\n(curl.*?)```")
	monitoringYAML  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// What docs/monitoring.md says to type makes a real Prometheus scrape a real hub, with the rules loaded.
func TestPrometheusScrapesAHub(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	program := need(t, "prometheus")
	h := startHub(t)
	dir := t.TempDir()
	page := strings.NewReplacer("nexus.local:9900", h.address, "~/.ctx/hub-data", h.dir, "/etc/prometheus", dir,
		"scrape_interval: 15s", "scrape_interval: 1s").Replace(readDoc(t, "monitoring.md"))
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", monitoringShell.FindStringSubmatch(page)[1])
	cmd.Dir, cmd.Env = dir, cleanEnv(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	check(t, os.WriteFile(filepath.Join(dir, "prometheus-rules.yml"), []byte(readDoc(t, "prometheus-rules.yml")), 0o600))
	config := filepath.Join(dir, "prometheus.yml")
	check(t, os.WriteFile(config, []byte(monitoringYAML.FindStringSubmatch(page)[1]), 0o600))
	promtool(t, "", "check", "config", config)
	address := "127.0.0.1:" + strconv.Itoa(freePort(t))
	p := start(t, exec.Command(program, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address))
	ask := func(query string) string {
		res, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		check(t, err)
		return string(text)
	}
	await(t, "a scrape", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("Prometheus ended: %s", p.stderr.String())
		default:
		}
		return strings.Contains(ask(`up{job="ctxhub"}`), `"1"]`)
	})
	if answer := ask("ctxhub_takes_entries"); !strings.Contains(answer, `"1"]`) {
		t.Error(answer)
	}
	check(t, h.client(t, h.admin).Revoke(t.Context(), "prometheus"))
	await(t, "a scrape with a revoked token to fail", func() bool { return strings.Contains(ask(`up{job="ctxhub"}`), `"0"]`) })
}
