package project

import (
	"context"

	"ctxhub/client"
)

// Progress is told how far a Sync is, in sequences. total may grow, but done never becomes a smaller part of it.
type Progress func(done, total uint64)

// gauge makes one way of the legs of a Sync. Without tell it does nothing.
type gauge struct {
	tell Progress

	begun       bool
	walked      uint64 // on ways that were begun again, since the mirrors had to be
	start, at   uint64 // of this way
	head        uint64
	done, total uint64 // as told last
}

// begin is told each leg before it is walked. A leg that ends where the next mirrors are does not tell how far
// the way is, so that the hub is asked; without its answer the bar waits.
func (g *gauge) begin(ctx context.Context, c *client.Client, l leg) {
	if g.tell == nil {
		return
	}
	if !g.begun || l.after < g.at {
		g.walked += g.at - g.start
		g.start, g.at = l.after, l.after
	}
	if !g.begun && l.until > 0 {
		if status, err := c.Status(ctx); err == nil {
			g.head = status.GetHead()
		}
	}
	g.begun = true
}

func (g *gauge) show(cursor, head uint64) {
	if g.tell == nil {
		return
	}
	g.at, g.head = max(g.at, cursor), max(g.head, head, cursor)
	done, total := g.walked+g.at-g.start, g.walked+g.head-g.start
	if done*g.total < g.done*total { // a way that became longer is waited for
		return
	}
	g.done, g.total = done, total
	g.tell(done, total)
}
