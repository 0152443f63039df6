package project

import (
	"context"
	"fmt"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// payment is one round of publishing own entries again.
type payment struct {
	conn *Connection
	hub  string
	head uint64 // of the hub's log before

	tried map[string]bool   // ids that the hub has answered
	done  map[string]uint64 // their sequences now; 0 for what it does not take

	lost, taken, refused, foreign int
	refusal                       error  // the last
	name                          string // another one that this project once had
}

// due chooses from the notes, in their order and each id once. It is here that an entry is kept from a hub that it
// was not meant for: only the hub that had it, or one that stands at the same address, gets it again.
func (p *payment) due(lines []noteLine, debt Debt, oldest uint64) []*note {
	place := make(map[string]int)
	var due []*note
	for _, l := range lines {
		if l.note == nil || !p.owed(l.note, debt, oldest) {
			continue
		}
		if l.note.Project != p.conn.Project { // another origin would be another entry
			p.foreign++
			p.name = l.note.Project
			continue
		}
		if i, ok := place[l.note.ID]; ok {
			due[i] = l.note
			continue
		}
		place[l.note.ID] = len(due)
		due = append(due, l.note)
	}
	return due
}

func (p *payment) owed(n *note, debt Debt, oldest uint64) bool {
	here := n.HubAddr == p.conn.HubAddr
	if n.HubID == p.hub || n.HubID == "" && here {
		// What is older than the oldest went with an archive that was taken away. It is not lost.
		return n.Sequence > debt.After && n.Sequence >= oldest
	}
	return here && debt.After == 0
}

// publish publishes notes again, in as few requests as they fit in.
func (p *payment) publish(ctx context.Context, c *client.Client, due []*note) error {
	for len(due) > 0 {
		n, size := 0, 0
		for n < len(due) && n < client.MaxBatchEntries && (n == 0 || size+len(due[n].Content) <= client.MaxBatchBytes) {
			size += len(due[n].Content)
			n++
		}
		if err := p.send(ctx, c, due[:n]); err != nil {
			return err
		}
		due = due[n:]
	}
	return nil
}

// send publishes one batch. If the hub refuses it for what may be the fault of one entry, each goes alone.
func (p *payment) send(ctx context.Context, c *client.Client, notes []*note) error {
	entries := make([]*hubv1.NewEntry, len(notes))
	for i, n := range notes {
		entries[i] = n.entry()
	}
	sequences, err := c.Publish(ctx, entries...)
	switch {
	case err == nil:
		for i, n := range notes {
			p.tried[n.ID], p.done[n.ID] = true, sequences[i]
			if sequences[i] > p.head {
				p.lost++
			}
		}
		return nil
	case !client.IsRefused(err):
		return err
	case len(notes) > 1:
		for i := range notes {
			if err := p.send(ctx, c, notes[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case client.IsTaken(err):
		p.taken++
	default:
		p.refused++
		p.refusal = err
	}
	p.tried[notes[0].ID], p.done[notes[0].ID] = true, 0
	return nil
}

// renew is a note as it must be now; nil if it is right as it stands.
func (p *payment) renew(n *note) *note {
	sequence, ok := p.done[n.ID]
	if !ok || n.Sequence == sequence && n.HubID == p.hub && n.HubAddr == p.conn.HubAddr {
		return nil
	}
	renewed := *n
	renewed.Sequence, renewed.HubID, renewed.HubAddr = sequence, p.hub, p.conn.HubAddr
	return &renewed
}

// tell puts what there is to say in the result, in one sentence for each kind.
func (p *payment) tell(res *Result) {
	res.Republished += p.lost
	say := func(n int, format string, args ...any) {
		if n > 0 {
			what := "own entries were"
			if n == 1 {
				what = "own entry was"
			}
			res.tell(fmt.Sprintf("%d %s ", n, what) + fmt.Sprintf(format, args...))
		}
	}
	say(p.lost, "lost by the hub and published again")
	say(p.taken, "not published again: the hub has something else under the same id")
	say(p.refused, "not published again: the hub does not take it any more (%v)", p.refusal)
	say(p.foreign, "not published again: this project was called %s then", p.name)
}
