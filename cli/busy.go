package cli

import (
	"fmt"
	"sync"
	"time"
)

// busyDelay is how long something may take before it is worth a word.
const busyDelay = 300 * time.Millisecond

// busy shows on a terminal what is under way once it has taken a while, and for how long. The returned function
// takes the line away again; nothing is written after it has returned.
func (s *system) busy(what string) (done func()) {
	if !s.errTerm {
		return func() {}
	}
	over := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() { s.showBusy(what, over) })
	return func() {
		close(over)
		showing.Wait()
	}
}

func (s *system) showBusy(what string, over <-chan struct{}) {
	begun := time.Now()
	wait := time.NewTimer(busyDelay)
	defer wait.Stop()
	for shown := false; ; shown = true {
		select {
		case <-wait.C:
			line := []rune(fmt.Sprintf("%s … %s", what, span(time.Since(begun))))
			fmt.Fprintf(s.err, "\r\x1b[K%s", string(line[:min(len(line), max(s.width-1, 0))])) // a line that wraps cannot be taken away
			wait.Reset(time.Second)
		case <-over:
			if shown {
				fmt.Fprint(s.err, "\r\x1b[K")
			}
			return
		}
	}
}
