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

// bar shows on stderr how far something is, if stderr is a terminal and it takes its time.
type bar struct {
	sys   *system
	what  string              // a word
	count func(uint64) string // writes a number of what is counted
	now   func() time.Time
	due   time.Time // of the next drawing
	shown bool
}

func newBar(sys *system, what string, count func(uint64) string) *bar {
	return &bar{sys: sys, what: what, count: count, now: time.Now, due: time.Now().Add(barDelay)}
}

// read is show for what counts in bytes as files do.
func (b *bar) read(done, total int64) { b.show(uint64(max(done, 0)), uint64(max(total, 0))) }

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
	numbers := fmt.Sprintf(" %3d%%  %s of %s", 100*done/total, b.count(done), b.count(total))
	full := int(barWidth * done / total) //nolint:gosec // at most barWidth
	drawn := b.sys.paint(b.sys.errTerm, "36", strings.Repeat("█", full)) + strings.Repeat("░", barWidth-full)
	if b.sys.width < barWidth+len(numbers)+6 { // a line that wraps cannot be drawn over
		drawn = ""
	}
	fmt.Fprintf(b.sys.err, "\r\x1b[K%s %s%s", b.what, drawn, numbers)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.sys.err, "\r\x1b[K")
	}
}
