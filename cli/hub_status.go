package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

type hubStatus struct {
	hubFlags
	JSON     bool `name:"json" help:"Write JSON."`
	ExitCode bool `help:"Exit with 1 if the hub is up but does not take entries."`
}

func (*hubStatus) Help() string {
	return `On the hub's machine it finds the hub by itself; elsewhere it needs --hub and a project's or the admin's token. Exits with 8 if there is no hub.

Examples:

    ctx hub status
    ctx hub status --json
    CTX_HUB_TOKEN=... ctx hub status --hub nexus.local:9900`
}

// hubReport is the JSON form.
type hubReport struct {
	Address       string            `json:"address"`
	HubID         string            `json:"hub_id"`
	Version       string            `json:"version"`
	Role          string            `json:"role"`
	PID           int               `json:"pid,omitempty"`
	Head          uint64            `json:"head"`
	Entries       uint64            `json:"entries"`
	EntriesByType map[string]uint64 `json:"entries_by_type"`
	Oldest        uint64            `json:"oldest"` // sequence of the oldest entry that can be read
	LogBytes      uint64            `json:"log_bytes"`
	Listeners     uint32            `json:"listeners"`
	StartedAt     time.Time         `json:"started_at"`
	UptimeSeconds int64             `json:"uptime_seconds"`
	DiskFreeBytes uint64            `json:"disk_free_bytes"`
	DiskReserve   uint64            `json:"disk_reserve_bytes"`
	Degraded      string            `json:"degraded"` // why it takes no entries; empty while it does
	Activity      activityReport    `json:"activity"`
	Peers         []peerReport      `json:"peers"`
}

// activityReport is what the hub's process has done since it began.
type activityReport struct {
	Published      uint64  `json:"published"` // entries
	PublishP50     float64 `json:"publish_seconds_p50"`
	PublishP99     float64 `json:"publish_seconds_p99"`
	SyncP50        float64 `json:"sync_seconds_p50"`
	SyncP99        float64 `json:"sync_seconds_p99"`
	EntriesPerSync float64 `json:"entries_per_sync"`
	AuthFailures   uint64  `json:"auth_failures"`
	LimitsHit      uint64  `json:"limits_hit"`
	MaxLag         uint64  `json:"max_lag"` // entries that the slowest listener is behind
}

type peerReport struct {
	Address string `json:"address"`
	Role    string `json:"role"`
	Head    uint64 `json:"head"`
	Lag     uint64 `json:"lag"` // entries it does not have yet
}

func (c *hubStatus) Run(ctx context.Context, sys *system) error {
	hub, err := c.dial(sys)
	if err != nil {
		return err
	}
	defer hub.Close()
	status, err := hub.Status(ctx)
	if err != nil {
		return hub.explain(err)
	}
	r := newHubReport(hub, status)
	if c.JSON {
		err = sys.json(r)
	} else {
		r.print(sys)
	}
	if err == nil && c.ExitCode && r.Degraded != "" {
		err = &advice{err: errors.New("the hub takes no entries: " + r.Degraded), hint: lookAtLog}
	}
	return err
}

const lookAtLog = "free space on the hub's disk, or see its log, then restart it: ctx hub stop; ctx hub start --daemon"

func newHubReport(hub *theHub, s *hubv1.StatusResponse) *hubReport {
	r := &hubReport{
		Address: hub.address, HubID: s.GetHubId(), Version: s.GetVersion(), Role: s.GetRole(), PID: hub.local.PID,
		Head: s.GetHead(), Entries: s.GetEntries(), EntriesByType: s.GetEntriesByType(), Listeners: s.GetListeners(),
		Oldest: s.GetOldest(), LogBytes: s.GetLogBytes(), DiskReserve: s.GetDiskReserveBytes(),
		StartedAt: s.GetStartedAt().AsTime(), DiskFreeBytes: s.GetDiskFreeBytes(), Degraded: s.GetDegraded(),
		Activity: newActivityReport(s.GetActivity()), Peers: []peerReport{},
	}
	r.UptimeSeconds = int64(time.Since(r.StartedAt) / time.Second)
	if r.EntriesByType == nil {
		r.EntriesByType = map[string]uint64{}
	}
	for _, p := range s.GetPeers() {
		lag := r.Head - min(p.GetHead(), r.Head)
		r.Peers = append(r.Peers, peerReport{p.GetAddress(), p.GetRole(), p.GetHead(), lag})
	}
	return r
}

func newActivityReport(a *hubv1.Activity) activityReport {
	return activityReport{
		Published:  a.GetPublished(),
		PublishP50: a.GetPublishSecondsP50(), PublishP99: a.GetPublishSecondsP99(),
		SyncP50: a.GetSyncSecondsP50(), SyncP99: a.GetSyncSecondsP99(),
		EntriesPerSync: a.GetEntriesPerSync(),
		AuthFailures:   a.GetAuthFailures(), LimitsHit: a.GetLimitsHit(), MaxLag: a.GetMaxLag(),
	}
}

func (r *hubReport) print(sys *system) {
	sys.printf("ctx hub at %s\n", r.Address)
	sys.rows(
		[2]string{"role", r.Role},
		[2]string{"takes entries", r.takesEntries()},
		[2]string{"entries", count(r.Entries) + byType(r.EntriesByType)},
		[2]string{"head", "sequence " + count(r.Head)},
		[2]string{"oldest", r.oldestText()},
		[2]string{"listeners", r.listenersText()},
		[2]string{"published", r.Activity.publishedText()},
		[2]string{"disk syncs", r.Activity.syncText()},
		[2]string{"refused", r.Activity.refusedText()},
		[2]string{"log", size(r.LogBytes)},
		[2]string{"disk left", r.diskText()},
		[2]string{"up", span(time.Since(r.StartedAt))},
		[2]string{"pid", pidText(r.PID)},
		[2]string{"version", r.Version},
		[2]string{"hub id", r.HubID},
	)
	for _, p := range r.Peers {
		sys.rows([2]string{"peer", fmt.Sprintf("%s  %s, %s behind", p.Address, p.Role, count(p.Lag))})
	}
}

func (r *hubReport) takesEntries() string {
	if r.Degraded == "" {
		return "yes"
	}
	return "no: " + oneLine(r.Degraded)
}

func byType(entries map[string]uint64) string {
	var parts []string
	for _, t := range project.Types() {
		if n := entries[t]; n > 0 {
			parts = append(parts, plural(n, t, t+"s"))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "  (" + strings.Join(parts, ", ") + ")"
}

func pidText(pid int) string {
	if pid == 0 {
		return ""
	}
	return strconv.Itoa(pid)
}

func (r *hubReport) diskText() string {
	if r.DiskFreeBytes == 0 && r.Degraded == "" { // the system does not tell
		return ""
	}
	text := size(r.DiskFreeBytes)
	if r.DiskReserve > 0 {
		text += ", of which " + size(r.DiskReserve) + " are kept in reserve"
	}
	return text
}

// oldestText is empty while the whole history is there, which goes without saying.
func (r *hubReport) oldestText() string {
	if r.Oldest <= 1 {
		return ""
	}
	return "sequence " + count(r.Oldest)
}

func (r *hubReport) listenersText() string {
	text := count(r.Listeners)
	if r.Activity.MaxLag > 0 {
		text += ", the slowest " + plural(r.Activity.MaxLag, "entry", "entries") + " behind"
	}
	return text
}

func (a *activityReport) publishedText() string {
	if a.PublishP50 == 0 {
		return count(a.Published)
	}
	return fmt.Sprintf("%s since the start; half of the calls within %s, 99 of 100 within %s",
		count(a.Published), latency(a.PublishP50), latency(a.PublishP99))
}

func (a *activityReport) syncText() string {
	if a.SyncP50 == 0 {
		return ""
	}
	return fmt.Sprintf("half within %s, 99 of 100 within %s; %.1f entries a sync", latency(a.SyncP50), latency(a.SyncP99), a.EntriesPerSync)
}

func (a *activityReport) refusedText() string {
	if a.AuthFailures == 0 && a.LimitsHit == 0 {
		return ""
	}
	return fmt.Sprintf("%s for the token, %s by a limit, since the start", plural(a.AuthFailures, "call", "calls"), count(a.LimitsHit))
}
