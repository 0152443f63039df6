//go:build linux

package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// pageResult is what the page reports; see testdata/frontdoor/page.js.
type pageResult struct {
	Error        string      `json:"error"` // why it did not get to its end
	Published    pageAnswer  `json:"published"`
	Refused      pageAnswer  `json:"refused"`
	PublishedWeb webAnswer   `json:"publishedWeb"`
	RefusedWeb   webAnswer   `json:"refusedWeb"`
	Status       pageAnswer  `json:"status"`
	StatusWeb    webAnswer   `json:"statusWeb"`
	Synced       pageStream  `json:"synced"`
	Heard        []pageEntry `json:"heard"`
	HeardWeb     []pageEntry `json:"heardWeb"`
}

type pageAnswer struct {
	Status    int      `json:"status"`
	Sequences []string `json:"sequences"`
	Code      string   `json:"code"`
	Project   string   `json:"project"`
	Head      string   `json:"head"`
}

type webAnswer struct {
	Message  pageAnswer `json:"message"`
	Trailers string     `json:"trailers"`
}

type pageStream struct {
	Entries []pageEntry    `json:"entries"`
	End     map[string]any `json:"end"`
}

type pageEntry struct {
	ID      string `json:"id"`
	Content string `json:"content"`
	Origin  string `json:"origin"`
}

// pageHost serves the page, tells it what to do and takes what it reports.
type pageHost struct {
	*httptest.Server
	listening chan struct{}
	result    chan pageResult
}

// hostPage gives the page a hub's URL, or "" for its own origin, and a token.
func hostPage(t *testing.T, hub, token string) *pageHost {
	t.Helper()
	p := &pageHost{listening: make(chan struct{}, 1), result: make(chan pageResult, 1)}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata/frontdoor")))
	mux.HandleFunc("/test/task", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"hub": hub, "token": token})
	})
	mux.HandleFunc("/test/listening", func(http.ResponseWriter, *http.Request) { p.listening <- struct{}{} })
	mux.HandleFunc("/test/result", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var res pageResult
		if err == nil {
			err = json.Unmarshal(body, &res)
		}
		if err != nil {
			res.Error = "the report: " + err.Error()
		}
		p.result <- res
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// browse opens a page in a browser of its own until the test ends.
func browse(t *testing.T, url string, flags ...string) {
	t.Helper()
	home, err := os.MkdirTemp("", "browser")
	check(t, err)
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-breakpad", "--disable-dev-shm-usage",
		"--user-data-dir=" + filepath.Join(home, "data"),
	}, flags...)
	cmd := exec.Command(need(t, "chromium"), append(args, url)...)
	cmd.Env = cleanEnv(home)
	t.Cleanup(func() { // after the browser has ended; its children may be a little later
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			if err := os.RemoveAll(home); err == nil || time.Now().After(deadline) {
				check(t, err)
				return
			}
		}
	})
	p := start(t, cmd)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the browser: %s", p.stderr.String())
		}
	})
}

func (p *pageHost) awaitListening(t *testing.T) {
	t.Helper()
	select {
	case <-p.listening:
	case res := <-p.result:
		t.Fatalf("the page does not get to listening: %+v", res)
	case <-time.After(2 * patience):
		t.Fatal("the page does not get to listening")
	}
}

func (p *pageHost) awaitResult(t *testing.T) pageResult {
	t.Helper()
	select {
	case res := <-p.result:
		return res
	case <-time.After(2 * patience):
		t.Fatal("the page does not report")
		return pageResult{}
	}
}

// A page of another site, which the hub was told to let in, publishes, syncs and streams.
func TestFrontdoorBrowserCrossOrigin(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	page := httptest.NewUnstartedServer(nil) // its port is needed before its handler
	origin := "http://" + page.Listener.Addr().String()
	h := startHub(t, "--allow-origin", origin)
	host := hostPage(t, "http://"+h.address, h.register(t, "page"))
	page.Config.Handler = host.Config.Handler
	page.Start()
	t.Cleanup(page.Close)
	browse(t, origin+"/page.html")
	checkPage(t, h, host)
}

// A page that has the hub under its own name, through nginx and TLS, does so without being named.
func TestFrontdoorBrowserSameOrigin(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	need(t, "nginx")
	h := startHub(t)
	host := hostPage(t, "", h.register(t, "page"))
	root, err := filepath.Abs("testdata/frontdoor")
	check(t, err)
	n := startNginx(t, h, "testdata/frontdoor/page.conf", "", "/srv/www", root, "http://127.0.0.1:8080", host.URL)
	browse(t, n.url+"/page.html", "--ignore-certificate-errors")
	checkPage(t, h, host)
}

// Without --allow-origin, or with another, the browser keeps the page out and nothing is stored.
func TestFrontdoorBrowserRefusesOtherOrigins(t *testing.T) {
	t.Parallel()
	need(t, "chromium")
	for name, flags := range map[string][]string{
		"NoneAllowed": nil, "AnotherAllowed": {"--allow-origin", "https://app.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t, flags...)
			host := hostPage(t, "http://"+h.address, h.register(t, "page"))
			browse(t, host.URL+"/page.html")
			if res := host.awaitResult(t); !strings.Contains(res.Error, "Failed to fetch") {
				t.Errorf("the page was not kept out: %+v", res)
			}
			sameContents(t, h, nil)
		})
	}
}

const (
	fromConnect = "From a page: ü€😀 page-connect"
	fromGRPCWeb = "From a page: ü€😀 page-grpc-web"
)

// checkPage publishes an entry while the page listens, and looks at what the page and the hub have at the end.
func checkPage(t *testing.T, h *testHub, host *pageHost) {
	t.Helper()
	host.awaitListening(t)
	_, err := h.client(t, h.register(t, "other")).Publish(t.Context(), &hubv1.NewEntry{Id: "live", Type: "learning", Content: "Published meanwhile"})
	check(t, err)
	res := host.awaitResult(t)
	if res.Error != "" {
		t.Fatal(res.Error)
	}
	first := pageEntry{"page-connect", fromConnect, "page"}
	second := pageEntry{"page-grpc-web", fromGRPCWeb, "page"}
	third := pageEntry{"live", "Published meanwhile", "other"}
	for what, ok := range map[string]bool{
		"Publish":          res.Published.Status == 200 && slices.Equal(res.Published.Sequences, []string{"1"}),
		"refusal":          res.Refused.Status == 400 && res.Refused.Code == "invalid_argument",
		"gRPC-Web Publish": slices.Equal(res.PublishedWeb.Message.Sequences, []string{"2"}) && grpcStatus(res.PublishedWeb) == "0",
		"gRPC-Web refusal": grpcStatus(res.RefusedWeb) == "3",
		"Status":           res.Status.Project == "page" && res.Status.Head == "2",
		"gRPC-Web Status":  res.StatusWeb.Message.Project == "page" && res.StatusWeb.Message.Head == "2" && grpcStatus(res.StatusWeb) == "0",
		"Sync":             slices.Equal(res.Synced.Entries, []pageEntry{first, second}),
		"end of Sync":      res.Synced.End != nil && res.Synced.End["error"] == nil,
		"Listen":           slices.Equal(res.Heard, []pageEntry{first, second, third}),
		"gRPC-Web Listen":  slices.Equal(res.HeardWeb, []pageEntry{first, second, third}),
	} {
		if !ok {
			t.Errorf("%s is not as it should be: %+v", what, res)
		}
	}
	sameContents(t, h, []string{fromConnect, fromGRPCWeb, "Published meanwhile"})
	// The page has left its streams, and the hub notices.
	admin := h.client(t, h.admin)
	await(t, "the page's streams to end", func() bool {
		status, err := admin.Status(t.Context())
		check(t, err)
		return status.GetListeners() == 0
	})
}

// grpcStatus is the status in a gRPC-Web answer's trailers.
func grpcStatus(a webAnswer) string {
	for line := range strings.Lines(a.Trailers) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "grpc-status") {
			return strings.TrimSpace(value)
		}
	}
	return "none"
}
