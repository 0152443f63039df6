package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctxhub/client"
	"ctxhub/server"
)

// Every figure of a report says something.
func TestBenchFigures(t *testing.T) {
	root := t.TempDir()
	code, stdout, stderr := inProcess(t, "hub", "bench", "--data-dir", filepath.Join(root, "none", "hub-data"),
		"--duration", "50ms", "--publishers", "1,3", "--listeners", "2", "--entry-bytes", "300", "--json")
	var r benchReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK || stderr != "" {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if len(r.Publish) != 2 || r.Publish[0].Publishers != 1 || r.Publish[1].Publishers != 3 {
		t.Fatalf("%+v", r.Publish)
	}
	for _, p := range r.Publish {
		if p.Disk == nil || p.Disk.Group != p.Publishers || p.Disk.RecordBytes < 300 || p.Disk.Syncs < 1 {
			t.Fatalf("%+v", p.Disk)
		}
		positive(t, p.EntriesPerSecond, p.P50, p.P99, p.Ratio, p.Disk.EntriesPerSecond, p.Disk.P50, p.Disk.P99)
		if p.P50 > p.P99 || p.Ratio != p.EntriesPerSecond/p.Disk.EntriesPerSecond {
			t.Errorf("%+v", p)
		}
	}
	positive(t, r.Sync.EntriesPerSecond, r.Sync.BytesPerSecond, r.Listen.P50, r.Listen.P99, r.Listen.Publish, r.DurationSeconds)
	if r.Sync.Entries < r.Publish[0].Entries+r.Publish[1].Entries || r.Listen.Entries < 1 || r.Listen.Listeners != 2 || !r.OwnHub {
		t.Errorf("%+v", r)
	}
	if filepath.Dir(r.Directory) != root {
		t.Errorf("measured in %s, and the data directory would be below %s", r.Directory, root)
	}
	if names, err := os.ReadDir(root); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func positive(t *testing.T, figures ...float64) {
	t.Helper()
	for i, f := range figures {
		if f <= 0 {
			t.Errorf("figure %d is %v", i, f)
		}
	}
}

// A bench of a running hub writes a limited number of entries, and takes its token back.
func TestBenchOfARunningHub(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub-data")
	local := runHub(t, server.Config{DataDir: dir})
	code, stdout, stderr := inProcess(t, "hub", "bench", "--data-dir", dir, "--live", "--yes", "--duration", "300ms", "--publishers", "8", "--listeners", "2", "--json")
	var r benchReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if n := r.Publish[0].Entries; n < 1 || n > liveEntries || r.Listen.Entries < 1 || r.Listen.Entries > liveHeard || r.OwnHub {
		t.Errorf("%+v", r)
	}
	positive(t, r.Publish[0].Ratio)
	admin, err := dialLocal(local, client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	status, err := admin.Status(t.Context())
	if want := uint64(r.Publish[0].Entries + r.Listen.Entries); err != nil || status.GetHead() != want {
		t.Errorf("the log's head is %d, want %d, %v", status.GetHead(), want, err)
	}
	projects, err := admin.ListProjects(t.Context())
	if err != nil || len(projects) != 1 || projects[0].GetRevokedAt() == nil || projects[0].GetName() != r.Project {
		t.Errorf("%v, %v", projects, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), benchPattern)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a bench that was killed has left, a doctor names.
func TestDoctorSeesWhatABenchLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub-data")
	runHub(t, server.Config{DataDir: dir})
	left, err := makeBenchDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, stdout, _ := inProcess(t, "hub", "doctor", "--data-dir", dir, "--json")
	if f := findingOf(t, stdout, "leftover files"); f.Verdict != verdictWarning || !strings.Contains(f.Seen, left) {
		t.Errorf("%+v", f)
	}
}

func TestQuantiles(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(100-i)*time.Second)
	}
	if p50, p99 := quantiles(took); p50 != 50 || p99 != 99 {
		t.Errorf("%v, %v", p50, p99)
	}
	if p50, p99 := quantiles(took[:1]); p50 != 1 || p99 != 1 {
		t.Errorf("of one: %v, %v", p50, p99)
	}
}

// A line about what is under way stands on a terminal only, and is gone afterwards.
func TestBusy(t *testing.T) {
	var stderr sharedBuffer
	sys := &system{err: &stderr, errTerm: true, width: 20}
	done := sys.busy("measuring something")
	if err := until(t.Context(), "the line", func() (bool, error) { return stderr.String() != "", nil }); err != nil {
		t.Fatal(err)
	}
	done()
	said := stderr.String()
	if !strings.HasPrefix(said, "\r\x1b[Kmeasuring something") || !strings.HasSuffix(said, "\r\x1b[K") || strings.Contains(said, "\n") {
		t.Errorf("%q", said)
	}
	done = sys.busy("quick")
	done()
	sys.errTerm = false
	sys.busy("to a file")()
	if stderr.String() != said {
		t.Errorf("%q", stderr.String()[len(said):])
	}
}
