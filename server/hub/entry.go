package hub

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Type is the kind of knowledge an entry carries.
type Type string

// The types a hub stores.
const (
	Decision   Type = "decision"
	Learning   Type = "learning"
	Convention Type = "convention"
	Task       Type = "task"
)

// Types lists every type, in the order in which they are shown.
var Types = []Type{Decision, Learning, Convention, Task}

// Known says whether t is one of Types.
func (t Type) Known() bool {
	switch t {
	case Decision, Learning, Convention, Task:
		return true
	}
	return false
}

// Limits of what is stored, in bytes where not said otherwise.
const (
	MaxContent      = 1 << 20
	MaxBatchEntries = 256 // entries in one Append
	MaxBatchContent = 4 << 20
	MaxID           = 64
	MaxMeta         = 256 // each field of Meta
	MaxProject      = 64
)

// Entry is one piece of knowledge. It never changes once it has a sequence.
type Entry struct {
	Sequence  uint64 // place in the log from 1, without gaps; 0 while it has none
	ID        string // made by the publisher, once in the log
	Type      Type
	Content   string
	Origin    string // name of the project it came from
	Timestamp time.Time
	Meta      Meta
}

// Meta is what the publishing client said of itself; nobody vouches for it.
type Meta struct {
	DisplayName, Host, Tool, Via string
}

// Same says whether two entries with one id are the same entry published twice.
func (e *Entry) Same(other *Entry) bool {
	return e.ID == other.ID && e.Type == other.Type && e.Content == other.Content && e.Origin == other.Origin
}

// Validate refuses what may not be stored: ErrInvalid for what can never be right, ErrTooLarge for size.
// Origin is checked as a project name; sequence and timestamp are not the publisher's and not looked at.
func (e *Entry) Validate() error {
	switch {
	case !validID(e.ID):
		return Refuse(ErrInvalid, "the id must be 1 to %d of letters, digits, dot, underscore, colon and hyphen", MaxID)
	case !e.Type.Known():
		return Refuse(ErrInvalid, "unknown type %.40q: use %s", e.Type, typeList())
	case e.Content == "":
		return Refuse(ErrInvalid, "the content is empty")
	case len(e.Content) > MaxContent:
		return Refuse(ErrTooLarge, "the content has %d bytes, at most %d (1 MiB) are stored", len(e.Content), MaxContent)
	case !utf8.ValidString(e.Content):
		return Refuse(ErrInvalid, "the content is not valid UTF-8")
	}
	return e.Meta.validate()
}

func (m *Meta) validate() error {
	for _, f := range []struct{ name, value string }{
		{"display_name", m.DisplayName}, {"host", m.Host}, {"tool", m.Tool}, {"via", m.Via},
	} {
		if len(f.value) > MaxMeta {
			return Refuse(ErrTooLarge, "meta.%s has %d bytes, at most %d are stored", f.name, len(f.value), MaxMeta)
		}
		if !utf8.ValidString(f.value) || strings.ContainsFunc(f.value, unicode.IsControl) {
			return Refuse(ErrInvalid, "meta.%s has control characters or is not valid UTF-8", f.name)
		}
	}
	return nil
}

// ValidateBatch checks the batch as a whole and each entry; the error names the entry by its place.
func ValidateBatch(entries []Entry) error {
	if len(entries) == 0 {
		return Refuse(ErrInvalid, "there is no entry to publish")
	}
	if len(entries) > MaxBatchEntries {
		return Refuse(ErrTooLarge, "%d entries in one request, at most %d are taken", len(entries), MaxBatchEntries)
	}
	total := 0
	for i := range entries {
		if err := entries[i].Validate(); err != nil {
			if len(entries) == 1 {
				return err
			}
			return fmt.Errorf("entry %d of %d: %w; nothing of the request was stored", i+1, len(entries), err)
		}
		total += len(entries[i].Content)
	}
	if total > MaxBatchContent {
		return Refuse(ErrTooLarge, "%d bytes of content in one request, at most %d (4 MiB) are taken", total, MaxBatchContent)
	}
	return nil
}

func validID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !isAlphanumeric(c) && c != '.' && c != '_' && c != ':' && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func typeList() string {
	names := make([]string, len(Types))
	for i, t := range Types {
		names[i] = string(t)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
