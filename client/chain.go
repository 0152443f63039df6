package client

import "connectrpc.com/connect"

// link is what a message says about its place in the hub's log.
type link interface {
	GetHubId() string
	GetCursor() uint64
	GetSum() string
	GetAfterSum() string
	GetSkipped() uint64
}

// chain sees to it that a stream that is opened again goes on in the log that was read before, and not in one
// that took its place. A hub of an earlier version tells no sums and is taken at its word.
type chain struct {
	hub, sum string // of the last message
	cursor   uint64
	resumed  bool // the next message is the first of a stream that follows on from another
	broken   error
}

// resume is told before each stream.
func (c *chain) resume() { c.resumed = true }

// goesOn tells whether a message may be handed over; if not, broken says why. Another hub's may: it says itself
// that it is another one.
func (c *chain) goesOn(e *endpoint, m link) bool {
	resumed := c.resumed && c.hub == m.GetHubId() && m.GetSkipped() == 0
	c.resumed = false
	if resumed && c.sum != "" && m.GetAfterSum() != "" && c.sum != m.GetAfterSum() {
		c.broken = newFault(connect.CodeAborted, ErrRestored,
			"the hub at %s was restored or repaired while it was being read: its log up to %d is another one now", e.address, c.cursor)
		return false
	}
	c.hub, c.sum, c.cursor = m.GetHubId(), m.GetSum(), m.GetCursor()
	return true
}
