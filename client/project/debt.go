package project

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"ctxhub/client"
)

// Debt is that own entries may be missing from the hub and are to be published again. It is part of the state, so
// that what notices the loss also records it, in one step.
type Debt struct {
	// ID tells this debt from a later one, which must not be taken for paid when this one is.
	ID string `json:"id"`
	// After bounds it: own entries up to this sequence of the state's hub are known to be there.
	After uint64 `json:"after"`
}

func (s *State) owe(after uint64) {
	if s.Owed != nil {
		after = min(after, s.Owed.After)
	}
	s.Owed = &Debt{ID: rand.Text(), After: after}
}

// patience is how long a Listen waits before it tries again to pay.
const patience = time.Minute

// unpaid is why a debt could not be paid.
type unpaid struct {
	err   error
	again time.Time
}

// repay publishes again what is owed. The mirrors do not wait for it: where the hub takes no entries at the
// moment, the debt stays, and m.unpaid says why.
func (m *mirrors) repay(ctx context.Context, c *client.Client, res *Result) {
	if m.owed == nil || time.Now().Before(m.unpaid.again) {
		return
	}
	m.goal = 0 // what is published now is to be mirrored, too
	err := m.pay(ctx, c, *m.owed, res)
	switch {
	case errors.Is(err, errMoved): // the next survey finds out what is owed to whom
	case err != nil:
		m.unpaid = unpaid{fmt.Errorf("own entries are not published again yet: %w", err), time.Now().Add(patience)}
	default:
		m.unpaid = unpaid{}
	}
}

func (m *mirrors) pay(ctx context.Context, c *client.Client, debt Debt, res *Result) error {
	// The notes first, the head after them: what was noted and is behind that head was lost.
	lines, err := m.dir.noteLines()
	if err != nil {
		return err
	}
	p := &payment{conn: m.conn, tried: m.settled, done: make(map[string]uint64)}
	if len(lines) > 0 {
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if status.GetHubId() != m.of {
			m.hub = status.GetHubId()
			return errMoved
		}
		p.hub, p.head = status.GetHubId(), status.GetHead()
		err = p.publish(ctx, c, p.due(lines, debt, status.GetOldest()))
		p.tell(res)
		if err != nil {
			return errors.Join(err, m.close(context.WithoutCancel(ctx), p, ""))
		}
	}
	return m.close(ctx, p, debt.ID)
}

// close writes the new sequences into the notes and then takes the debt off the state, if it is still the one that
// was paid.
func (m *mirrors) close(ctx context.Context, p *payment, debt string) error {
	unlock, err := m.dir.lock(ctx, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.dir.putNotes(p.renew); err != nil {
		return err
	}
	st, err := m.dir.State()
	if err != nil {
		return err
	}
	if st.Owed != nil && st.Owed.ID == debt {
		st.Owed = nil
		if err := m.dir.putState(st); err != nil {
			return err
		}
	}
	m.of, m.owed = st.HubID, st.Owed
	return nil
}
