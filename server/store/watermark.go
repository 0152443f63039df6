package store

import "sync"

// watermark is the sequence of the last durable entry. Writer and readers share nothing else.
type watermark struct {
	mu    sync.Mutex
	head  uint64
	moved chan struct{}
}

func newWatermark(head uint64) *watermark {
	return &watermark{head: head, moved: make(chan struct{})}
}

// advance tells every reader that waits.
func (w *watermark) advance(head uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head = head
	close(w.moved)
	w.moved = make(chan struct{})
}

// now returns the head and a channel that is closed when it is no longer that.
func (w *watermark) now() (uint64, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head, w.moved
}
