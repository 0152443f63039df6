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
	Listeners     uint32            `json:"listeners"`
	StartedAt     time.Time         `json:"started_at"`
	UptimeSeconds int64             `json:"uptime_seconds"`
	DiskFreeBytes uint64            `json:"disk_free_bytes"`
	Degraded      string            `json:"degraded"` // why it takes no entries; empty while it does
	Peers         []peerReport      `json:"peers"`
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
		StartedAt: s.GetStartedAt().AsTime(), DiskFreeBytes: s.GetDiskFreeBytes(), Degraded: s.GetDegraded(),
		Peers: []peerReport{},
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

func (r *hubReport) print(sys *system) {
	sys.printf("ctx hub at %s\n", r.Address)
	sys.rows(
		[2]string{"role", r.Role},
		[2]string{"takes entries", r.takesEntries()},
		[2]string{"entries", count(r.Entries) + byType(r.EntriesByType)},
		[2]string{"head", "sequence " + count(r.Head)},
		[2]string{"listeners", count(r.Listeners)},
		[2]string{"up", span(time.Since(r.StartedAt))},
		[2]string{"pid", pidText(r.PID)},
		[2]string{"disk left", diskText(r.DiskFreeBytes)},
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

func diskText(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return size(bytes)
}
