package cli

import (
	"fmt"
	"strings"
	"time"
)

const (
	barDelay = time.Second            // what takes less needs no bar
	barPace  = 100 * time.Millisecond // between two drawings
	barWidth = 30
)

// bar shows on stderr how far a sync is, if stderr is a terminal and the sync takes its time.
type bar struct {
	sys   *system
	now   func() time.Time
	due   time.Time // of the next drawing
	shown bool
}

func newBar(sys *system) *bar {
	return &bar{sys: sys, now: time.Now, due: time.Now().Add(barDelay)}
}

func (b *bar) show(done, total uint64) {
	now := b.now()
	if !b.sys.errTerm || total == 0 {
		return
	}
	last := b.shown && done >= total // a bar that was seen is seen to end
	if now.Before(b.due) && !last {
		return
	}
	b.due, b.shown = now.Add(barPace), true
	done = min(done, total)
	numbers := fmt.Sprintf(" %3d%%  %s of %s", 100*done/total, count(done), count(total))
	full := int(barWidth * done / total) //nolint:gosec // at most barWidth
	drawn := b.sys.paint(b.sys.errTerm, "36", strings.Repeat("█", full)) + strings.Repeat("░", barWidth-full)
	if b.sys.width < barWidth+len(numbers)+6 { // a line that wraps cannot be drawn over
		drawn = ""
	}
	fmt.Fprintf(b.sys.err, "\r\x1b[Ksync %s%s", drawn, numbers)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.sys.err, "\r\x1b[K")
	}
}
