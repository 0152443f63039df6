package project

import "context"

// leg is a part of the way to the head: what is missing of some kinds that are equally far.
type leg struct {
	hub          string // whose cursors these are; empty if all of them are 0
	after, until uint64 // until is 0 for the last leg, which ends at the head
	kinds        []kind
	sums         map[uint64]string // what is known of the hub's log: sums at the mirrors' cursors
	noted        []noted           // what this project has published and no mirror has passed
}

// survey looks where the mirrors are, what is owed, and returns the next leg. It changes nothing.
func (m *mirrors) survey(ctx context.Context) (leg, error) {
	unlock, err := m.dir.lock(ctx, lockWait)
	if err != nil {
		return leg{}, err
	}
	defer unlock()
	st, err := m.dir.State()
	if err != nil {
		return leg{}, err
	}
	if err := m.noted.read(m.dir); err != nil {
		return leg{}, err
	}
	m.of, m.owed = st.HubID, st.Owed
	if m.hub != "" && st.HubID != m.hub {
		m.owed = nil // to a hub that is gone: what takes over from it owes anew
		return leg{kinds: m.kinds, noted: m.unpassed(0)}, nil
	}
	list, err := m.stands(m.kinds, st)
	if err != nil {
		return leg{}, err
	}
	next := nextLeg(list)
	if next.after > 0 || next.until > 0 {
		next.hub = st.HubID
	}
	if next.until == 0 {
		next.noted = m.unpassed(next.after)
	}
	return next, nil
}

// nextLeg takes the kinds that are furthest behind to where the next ones are. Leg by leg they end up
// together, and no entry is asked for twice.
func nextLeg(list []standing) leg {
	lowest := list[0].mirror.LastSequence
	for _, s := range list {
		lowest = min(lowest, s.mirror.LastSequence)
	}
	next := leg{after: lowest, sums: make(map[uint64]string)}
	for _, s := range list {
		if s.mirror.Sum != "" {
			next.sums[s.mirror.LastSequence] = s.mirror.Sum
		}
		switch last := s.mirror.LastSequence; {
		case last == lowest:
			next.kinds = append(next.kinds, s.kind)
		case next.until == 0 || last < next.until:
			next.until = last
		}
	}
	return next
}

func (m *mirrors) batch(l leg) *batch {
	return &batch{
		hub: l.hub, after: l.after, cursor: l.after, kinds: l.kinds,
		sums: l.sums, noted: l.noted, conn: m.conn, skip: m.skip,
	}
}
