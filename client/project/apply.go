package project

import (
	"context"
	"errors"
	"fmt"
	"strings"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// errMoved: the mirrors are not where the batch begins. Another process rebuilt one, or the hub is another
// one. Nothing was written; the caller looks where they are and goes on from there.
var errMoved = errors.New("the mirrors have moved")

// batch is all there is of some kinds after one sequence, up to and including another.
type batch struct {
	hub           string // the hub it is from; empty as long as any will do
	after, cursor uint64
	kinds         []kind
	entries       []*hubv1.Entry
	size          int // of the entries' contents, in bytes

	sums   map[uint64]string // by cursor: of the mirrors, and at the ends of messages
	begun  bool              // a message has come
	summed bool              // and one with a sum
	// skip takes a log whose beginning is gone; skipped is up to where.
	skip    bool
	skipped uint64
	// noted are own entries that the hub should have; missing is the first of them behind its head, if any.
	conn    *Connection
	noted   []noted
	missing uint64
}

// next empties the batch, to begin where it ended.
func (b *batch) next() {
	b.after, b.entries, b.size, b.missing = b.cursor, nil, 0, 0
	for at := range b.sums {
		if at < b.cursor {
			delete(b.sums, at)
		}
	}
}

// add takes a message of a stream in. errMoved if another hub than before sent it, *restoredError if the
// hub has lost what it gave out, ErrBadStream if the message breaks the rules.
func (b *batch) add(msg message) error {
	hub, cursor, skipped := msg.GetHubId(), msg.GetCursor(), msg.GetSkipped()
	switch {
	case hub == "":
		return fmt.Errorf("%w: it does not say which hub it is", ErrBadStream)
	case b.hub != "" && hub != b.hub:
		return errMoved
	case msg.GetHead() < b.cursor:
		return &restoredError{head: msg.GetHead()}
	case cursor < b.cursor:
		return fmt.Errorf("%w: its cursor went from %d back to %d", ErrBadStream, b.cursor, cursor)
	case skipped > 0 && (!b.skip || skipped > cursor):
		return fmt.Errorf("%w: it skips up to %d, with the cursor at %d", ErrBadStream, skipped, cursor)
	}
	last := max(b.cursor, skipped)
	for _, e := range msg.GetEntries() {
		if e.GetSequence() <= last || e.GetSequence() > cursor {
			return fmt.Errorf("%w: sequence %d came after %d, with the cursor at %d", ErrBadStream, e.GetSequence(), last, cursor)
		}
		last = e.GetSequence()
	}
	first := !b.begun
	if err := b.chain(msg); err != nil {
		return err
	}
	for _, e := range msg.GetEntries() {
		b.size += len(e.GetContent())
	}
	b.hub, b.cursor, b.entries = hub, cursor, append(b.entries, msg.GetEntries()...)
	b.skipped = max(b.skipped, skipped)
	if first {
		b.missing = b.behind(msg.GetHead())
	}
	return nil
}

// apply brings a batch into the mirrors. What another process has already written is left out, so that no
// entry is there twice; a mirror that is behind the batch's beginning is errMoved, so that none is missing.
//
// The mirrors come first and the state after them, in one step. Killed in between, a mirror is longer than
// its state says, or is none of it, and the next run cuts it back or builds it anew. To build anew is to
// cut to nothing and replay: as a mirror follows from its entries, the bytes are the same, and it takes no
// second file that could be left behind.
func (m *mirrors) apply(ctx context.Context, b *batch) (Result, error) {
	unlock, err := m.dir.lock(ctx, lockWait)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if err := m.noted.read(m.dir); err != nil {
		return Result{}, err
	}
	st, res, err := m.ground(b.hub)
	if err != nil {
		return Result{}, err
	}
	list, err := m.stands(b.kinds, st)
	if err != nil {
		return Result{}, err
	}
	for _, s := range list {
		if !b.meets(s.mirror) {
			return Result{}, errMoved
		}
	}
	if first := m.unseen(b, st, list); first > 0 {
		st.owe(first - 1)
	}
	for _, s := range list {
		added, err := m.take(st, s, b)
		if err != nil {
			return Result{}, err
		}
		res.New += added
		if s.why != "" {
			res.Rebuilt = append(res.Rebuilt, s.why)
		}
	}
	if err := m.dir.saveState(st); err != nil {
		return Result{}, err
	}
	m.of, m.owed = st.HubID, st.Owed
	m.passed(b.cursor)
	return res, nil
}

// ground returns the state to build upon. It is an empty one if there is none, or if it is of another hub.
func (m *mirrors) ground(hub string) (*State, Result, error) {
	var res Result
	st, err := m.dir.State()
	if err != nil {
		return nil, res, err
	}
	if st.Lost != "" {
		res.Rebuilt = append(res.Rebuilt, st.Lost)
	}
	if st.HubID != hub {
		if st.HubID != "" {
			if err := m.stillConnected(); err != nil {
				return nil, res, err
			}
			res.Rebuilt = append(res.Rebuilt, "this is another hub than before: the mirrors are built anew")
		}
		// Where the state is lost, a hub in place of another is known by the notes alone.
		owing := st.HubID != "" || st.Lost != "" || m.notedElsewhere(hub)
		st = &State{Version: stateVersion, HubID: hub}
		if owing {
			st.owe(0)
		}
	}
	if st.Mirrors == nil {
		st.Mirrors = make(map[string]Mirror)
	}
	return st, res, nil
}

// stillConnected keeps a run that is connected to a former hub from taking the mirrors back to it.
func (m *mirrors) stillConnected() error {
	now, err := m.dir.Load()
	if err == nil && (now.Token != m.conn.Token || now.HubAddr != m.conn.HubAddr) {
		return ErrReconnected
	}
	return nil
}

// take brings the part of a batch that a mirror does not have into it and into the state, and returns how
// many entries that were.
func (m *mirrors) take(st *State, s standing, b *batch) (int, error) {
	var text strings.Builder
	added := 0
	for _, e := range b.entries {
		if e.GetType() == s.kind.name && e.GetSequence() > s.mirror.LastSequence {
			render(&text, e)
			added++
		}
	}
	if added > 0 || s.fresh || s.size > s.mirror.Bytes {
		mirror, err := m.write(s, text.String())
		if err != nil {
			return 0, err
		}
		s.mirror = mirror
	}
	if b.cursor > s.mirror.LastSequence || b.cursor == s.mirror.LastSequence && s.mirror.Sum == "" {
		s.mirror.LastSequence, s.mirror.Sum = b.cursor, ""
		if b.summed {
			s.mirror.Sum = b.sums[b.cursor]
		}
	}
	st.Mirrors[s.kind.name] = s.mirror
	if known, ok := m.seen[s.kind.name]; ok {
		known.mirror = s.mirror
		m.seen[s.kind.name] = known
	}
	return added, nil
}

// forget starts all mirrors from the beginning because the hub's log is another one, unless another process
// has already done so. That own entries may have been lost is recorded in the same step.
func (m *mirrors) forget(ctx context.Context, restored *restoredError) ([]string, error) {
	unlock, err := m.dir.lock(ctx, lockWait)
	if err != nil {
		return nil, err
	}
	defer unlock()
	st, err := m.dir.State()
	if err != nil || st.HubID != m.hub {
		return nil, err
	}
	for _, mirror := range st.Mirrors {
		if why := restored.why(mirror); why != "" {
			st.Mirrors = map[string]Mirror{}
			st.owe(0)
			return []string{why}, m.dir.saveState(st)
		}
	}
	return nil, nil
}
