package project

import (
	"fmt"

	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// message is what Sync and Listen have in common.
type message interface {
	GetEntries() []*hubv1.Entry
	GetCursor() uint64
	GetHead() uint64
	GetHubId() string
	GetSum() string
	GetAfterSum() string
	GetSkipped() uint64
}

// restoredError: the hub's log is not the one that was mirrored. It ends at head, before what was given out;
// or its sum at a cursor is another one.
type restoredError struct {
	head uint64 // if sum is empty
	at   uint64
	sum  string
}

func (e *restoredError) Error() string {
	if e.sum != "" {
		return fmt.Sprintf("the hub's log up to %d is not what it has already given out", e.at)
	}
	return fmt.Sprintf("the hub's log ends at %d, before what it has already given out", e.head)
}

// why says in a sentence why a mirror is of another log; empty if it may be of this one.
func (e *restoredError) why(m Mirror) string {
	switch {
	case e.sum == "" && m.LastSequence > e.head:
		return fmt.Sprintf("the hub's log ends at %d, before the %d seen here, so it was restored: the mirrors are built anew",
			e.head, m.LastSequence)
	case e.sum != "" && m.LastSequence == e.at && differ(m.Sum, e.sum):
		return fmt.Sprintf("the hub's log up to %d is another one than was seen here, so it was restored or repaired: the mirrors are built anew",
			e.at)
	}
	return ""
}

// differ tells whether two sums of one cursor are known and not the same. A hub of an earlier version tells none.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// chain checks that a message follows on from what is known of the log, and remembers its sums.
func (b *batch) chain(msg message) error {
	from, to := b.cursor, msg.GetCursor()
	if msg.GetSkipped() == 0 {
		if sum := msg.GetAfterSum(); differ(b.sums[from], sum) {
			if b.begun { // within one stream a log cannot change
				return fmt.Errorf("%w: its messages do not follow on from each other at %d", ErrBadStream, from)
			}
			return &restoredError{at: from, sum: sum}
		}
		b.learn(from, msg.GetAfterSum())
	}
	if sum := msg.GetSum(); differ(b.sums[to], sum) {
		return &restoredError{at: to, sum: sum}
	}
	b.learn(to, msg.GetSum())
	b.begun = true
	return nil
}

func (b *batch) learn(at uint64, sum string) {
	if sum == "" {
		return
	}
	if b.sums == nil {
		b.sums = make(map[uint64]string)
	}
	b.sums[at], b.summed = sum, true
}

// meets tells whether a batch can extend a mirror: the mirror is not behind it, and is of the same log as far as
// that can be known. Inside a batch only the ends of its messages have sums.
func (b *batch) meets(m Mirror) bool {
	switch {
	case m.LastSequence < b.after:
		return false
	case m.LastSequence > b.cursor: // nothing of the batch is taken
		return true
	case m.Sum == "" || !b.summed:
		return true
	}
	return b.sums[m.LastSequence] == m.Sum
}
