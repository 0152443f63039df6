package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ctxhub/client"
	"ctxhub/client/project"
)

type connectionStatus struct {
	JSON bool `name:"json" help:"Write JSON."`
}

func (*connectionStatus) Help() string {
	return `Shows what is known here also when the hub cannot be reached, and exits with 8 then.

Example:

    ctx connection status`
}

// connectionReport is the JSON form.
type connectionReport struct {
	Hub         string     `json:"hub"`
	Peers       []string   `json:"peers"`
	Role        string     `json:"role"` // of the hub; empty when it cannot be reached
	Version     string     `json:"hub_version"`
	Project     string     `json:"project"`
	Types       []string   `json:"types"`
	Synced      uint64     `json:"synced"` // all that was published up to here is in the mirror
	Head        *uint64    `json:"head"`   // of the hub's log; null when it cannot be reached
	LastSuccess *time.Time `json:"last_success"`
	Outbox      int        `json:"outbox"`
	Owed        bool       `json:"owed"`    // own entries are still to be published again
	Problem     string     `json:"problem"` // what is wrong; empty when all is well
	Next        string     `json:"next"`    // the command to type about it
}

// statusTimeout is short: somebody waits to hear what is wrong.
const statusTimeout = 5 * time.Second

func (c *connectionStatus) Run(ctx context.Context, sys *system) error {
	h, err := findHere()
	if err != nil {
		return err
	}
	state, err := h.dir.State()
	if err != nil {
		return err
	}
	// Publishing waits for the hub's answer, so that nothing is ever left in an outbox.
	r := &connectionReport{Hub: h.conn.HubAddr, Peers: append([]string{}, h.conn.Peers...), Project: h.conn.Project,
		Types: append([]string{}, h.conn.Types...), Synced: cursor(state, h.conn.Types), Owed: state.Owed != nil}
	if !state.LastSuccess.IsZero() {
		r.LastSuccess = &state.LastSuccess
	}
	failed := h.explain(r.ask(ctx, h))
	r.judge(state, failed)
	if c.JSON {
		if err := sys.json(r); err != nil {
			return err
		}
	} else {
		r.print(sys, failed == nil)
	}
	return failed
}

// ask adds what the hub says.
func (r *connectionReport) ask(ctx context.Context, h *here) error {
	hub, err := h.dial(client.Config{Timeout: statusTimeout})
	if err != nil {
		return err
	}
	defer hub.Close()
	status, err := hub.Status(ctx)
	if err != nil {
		return err
	}
	head := status.GetHead()
	r.Role, r.Version, r.Head = status.GetRole(), status.GetVersion(), &head
	if r.Problem = oneLine(status.GetDegraded()); r.Problem != "" {
		r.Problem, r.Next = "the hub takes no entries: "+r.Problem, lookAtHub
	}
	return nil
}

// judge finds the first thing that is wrong and what to do about it.
func (r *connectionReport) judge(state *project.State, failed error) {
	switch {
	case failed != nil:
		e := explain(failed)
		r.Problem, r.Next = e.Error, e.Hint
	case r.Problem != "":
	case len(r.Types) == 0:
		r.Problem, r.Next = "subscribed to nothing", subscribeAll
	case state.Lost != "":
		r.Problem, r.Next = oneLine(state.Lost), "ctx connection sync"
	case r.Synced > *r.Head:
		r.Problem, r.Next = "the mirror is ahead of the hub, which was restored or replaced", "ctx connection sync"
	case r.Owed:
		r.Problem, r.Next = "own entries are still to be published again, since the hub was restored or replaced", "ctx connection sync"
	case r.Synced < *r.Head:
		r.Next = "ctx connection sync"
	}
}

// print leaves the problem to the error that follows, if one does.
func (r *connectionReport) print(sys *system, reached bool) {
	hub := r.Hub
	if r.Role != "" {
		hub += "  (" + r.Role + ", version " + oneLine(r.Version) + ")"
	}
	success := "never"
	if r.LastSuccess != nil {
		success = ago(time.Now(), *r.LastSuccess)
	}
	pairs := [][2]string{
		{"hub", hub},
		{"peers", strings.Join(r.Peers, ", ")},
		{"project", r.Project},
		{"types", strings.Join(r.Types, ", ")},
		{"synced", r.distance()},
		{"last sync", success},
		{"outbox", "empty"},
	}
	if reached {
		pairs = append(pairs, [2]string{"problem", r.Problem})
	}
	sys.printf("%s\n", "connection of "+r.Project)
	sys.rows(pairs...)
	if reached && r.Next != "" {
		sys.next("Next", r.Next)
	}
}

func (r *connectionReport) distance() string {
	switch {
	case r.Head == nil:
		return "sequence " + count(r.Synced)
	case r.Synced == *r.Head:
		return fmt.Sprintf("sequence %s of %s", count(r.Synced), count(*r.Head))
	case r.Synced > *r.Head:
		return fmt.Sprintf("sequence %s, the hub has %s", count(r.Synced), count(*r.Head))
	}
	return fmt.Sprintf("sequence %s of %s, %s behind", count(r.Synced), count(*r.Head), count(*r.Head-r.Synced))
}
