package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"ctxhub/client/project"
)

// ear tells what a listen goes through, in words or as JSON lines.
type ear struct {
	sys     *system
	json    bool
	here    *here
	mirrors map[string]project.Mirror // as they were told last

	mu   sync.Mutex // what is lost and back is told from other goroutines
	lost bool
	err  error // of the first line that could not be made
}

// event is one line of --json.
type event struct {
	Event  string   `json:"event"`
	New    int      `json:"new,omitempty"`
	Types  []string `json:"types,omitempty"`
	Cursor uint64   `json:"cursor,omitempty"` // all that was published up to here has arrived
	Head   uint64   `json:"head,omitempty"`   // of the hub's log
	Reason string   `json:"reason,omitempty"`
}

// say writes an event: the words for people, all of it for programs.
func (e *ear) say(ev event, words string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.write(ev, words, args...)
}

func (e *ear) write(ev event, words string, args ...any) {
	if !e.json {
		e.sys.printf("%s\n", oneLine(fmt.Sprintf(words, args...)))
		return
	}
	if err := e.sys.json(ev); err != nil && e.err == nil {
		e.err = err
	}
}

// heard tells what arrived.
func (e *ear) heard(res project.Result) {
	for _, reason := range res.Rebuilt {
		e.say(event{Event: "rebuilt", Reason: reason}, "rebuilt: %s", reason)
	}
	for _, reason := range res.Told {
		e.say(event{Event: "notice", Reason: reason}, "notice: %s", reason)
	}
	if res.Head == 0 && len(res.Rebuilt)+len(res.Told) > 0 {
		return // the hub has not said yet where its log is
	}
	state, err := e.here.dir.State()
	if err != nil {
		e.sys.warn("%s", sentence(err))
		return
	}
	at := cursor(state, e.here.conn.Types)
	if res.New > 0 {
		types := e.changed(state.Mirrors)
		e.say(event{Event: "entries", New: res.New, Types: types, Cursor: at, Head: res.Head},
			"%s new (%s), up to %s", count(res.New), strings.Join(types, ", "), count(at))
	}
	e.mirrors = state.Mirrors
	switch {
	case at < res.Head:
		e.say(event{Event: "behind", Cursor: at, Head: res.Head}, "behind: at %s of %s", count(at), count(res.Head))
	case res.New == 0:
		e.say(event{Event: "level", Cursor: at, Head: res.Head}, "level with the hub at %s", count(at))
	}
}

// changed are the types whose mirrors are not as they were.
func (e *ear) changed(mirrors map[string]project.Mirror) []string {
	types := []string{}
	for _, t := range e.here.conn.Types {
		if mirrors[t].SHA256 != e.mirrors[t].SHA256 {
			types = append(types, t)
		}
	}
	return types
}

// retry is told before each attempt to reconnect; only the first one of a row is news, and an attempt at once, at
// another address, is none.
func (e *ear) retry(err error, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lost || wait == 0 {
		return
	}
	e.lost = true
	reason := sentence(err)
	e.write(event{Event: "lost", Reason: reason}, "lost the hub: %s; trying again until it is back", reason)
}

func (e *ear) back() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.lost {
		return
	}
	e.lost = false
	e.write(event{Event: "back"}, "the hub is back")
}
