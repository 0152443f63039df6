package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"ctxhub/server/hub"
)

// A line of the log is one JSON object on one line, its fields always in this order and without spaces:
//
//	{"sequence":1,"id":"…","type":"…","content":"…","origin":"…","timestamp":"…","meta":{…},"commit":[1,3],"sum":"…"}
//
// commit names the first and last sequence that were written in one piece and synced together; it is left out
// where that is this entry alone. sum chains the lines: SHA-256 over the sum before, the SHA-256 of the content's
// bytes as they stand here (so that a content can be blanked and the chain still be checked), and the other bytes
// up to ,"sum". Since it covers bytes and not meanings, no change of any bit goes unseen.
//
// The codec is by hand and strict, because every entry is checked each time it is read and encoding/json would
// take ten times as long.

const lineStart = `{"sequence":`

type sum [sha256.Size]byte

var noSum sum // before the first line

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// group is the range of sequences that were committed together.
type group struct{ first, last uint64 }

// prepared holds the parts of a line that do not depend on its place in the log, so that they are made in the
// publisher's goroutine and not in the one that commits.
type prepared struct {
	entry      hub.Entry
	head       []byte // from ,"id" up to the content
	content    []byte // as JSON, with its quotes
	tail       []byte // after the content, up to commit and sum
	contentSum sum
}

// prepare makes the parts of all entries in one buffer.
func prepare(entries []hub.Entry) []prepared {
	room := 0
	for i := range entries {
		room += 320 + len(entries[i].Content) + len(entries[i].Content)/8
	}
	all, buf := make([]prepared, len(entries)), make([]byte, 0, room)
	for i := range entries {
		e, p := &entries[i], &all[i]
		p.entry = *e
		start := len(buf)
		buf = appendString(append(buf, `,"id":`...), e.ID)
		buf = appendString(append(buf, `,"type":`...), string(e.Type))
		buf = append(buf, `,"content":`...)
		contentStart := len(buf)
		buf = appendString(buf, e.Content)
		contentEnd := len(buf)
		buf = appendString(append(buf, `,"origin":`...), e.Origin)
		buf = append(buf, `,"timestamp":"`...)
		buf = e.Timestamp.UTC().AppendFormat(buf, time.RFC3339Nano)
		buf = appendMeta(append(buf, `","meta":`...), e.Meta)
		p.head, p.content, p.tail = buf[start:contentStart], buf[contentStart:contentEnd], buf[contentEnd:]
		p.contentSum = sha256.Sum256(p.content)
	}
	return all
}

// size is an upper bound of the line's length in bytes.
func (p *prepared) size() int { return len(p.head) + len(p.content) + len(p.tail) + 192 }

// appendLine writes the line for its place in the log and returns the sum that the next line builds on.
func appendLine(buf []byte, p *prepared, sequence uint64, g group, prior sum) ([]byte, sum) {
	start := len(buf)
	buf = strconv.AppendUint(append(buf, lineStart...), sequence, 10)
	buf = append(buf, p.head...)
	contentStart := len(buf)
	buf = append(buf, p.content...)
	contentEnd := len(buf)
	buf = append(buf, p.tail...)
	if g.first != g.last {
		buf = strconv.AppendUint(append(buf, `,"commit":[`...), g.first, 10)
		buf = strconv.AppendUint(append(buf, ','), g.last, 10)
		buf = append(buf, ']')
	}
	s := chain(prior, p.contentSum, buf[start:contentStart], buf[contentEnd:])
	buf = hex.AppendEncode(append(buf, `,"sum":"`...), s[:])
	return append(buf, '"', '}', '\n'), s
}

func chain(prior, content sum, head, tail []byte) sum {
	var space [512]byte
	b := append(space[:0], prior[:]...)
	b = append(b, content[:]...)
	b = append(b, head...)
	return sha256.Sum256(append(b, tail...))
}

// span is a line taken apart without copying or unescaping; the byte slices point into the line.
type span struct {
	sequence                             uint64
	id, typ, content, origin, when, meta []byte // strings without their quotes, content with them
	commit                               group
	head, tail                           []byte // what the sum covers besides the content
	sum                                  sum
}

var errSyntax = errors.New("not a line of a hub's log")

// splitLine takes a line apart, without its newline. It does not check the sum.
func splitLine(line []byte) (span, error) {
	s, rest, err := splitBody(line)
	if err != nil {
		return span{}, err
	}
	p := parser{line: rest}
	p.literal(`,"sum":"`)
	p.sum(&s.sum)
	p.literal(`"}`)
	if p.bad || p.at != len(rest) {
		return span{}, errSyntax
	}
	return s, nil
}

// splitBody takes apart what a line's sum covers, and returns the rest.
func splitBody(line []byte) (s span, rest []byte, err error) {
	p := parser{line: line}
	p.literal(lineStart)
	s.sequence = p.number()
	p.literal(`,"id":`)
	s.id = p.text()
	p.literal(`,"type":`)
	s.typ = p.text()
	p.literal(`,"content":`)
	contentStart := p.at
	p.text()
	s.content = line[contentStart:p.at]
	contentEnd := p.at
	p.literal(`,"origin":`)
	s.origin = p.text()
	p.literal(`,"timestamp":`)
	s.when = p.text()
	p.literal(`,"meta":`)
	s.meta = p.object()
	s.commit = group{s.sequence, s.sequence}
	if p.next(`,"commit":[`) {
		s.commit.first = p.number()
		p.literal(`,`)
		s.commit.last = p.number()
		p.literal(`]`)
	}
	if p.bad || s.sequence < s.commit.first || s.sequence > s.commit.last {
		return span{}, nil, errSyntax
	}
	s.head, s.tail = line[:contentStart], line[contentEnd:p.at]
	return s, line[p.at:], nil
}

// chained says whether the line is, bit for bit, what was written behind the line with the sum prior.
func (s *span) chained(prior sum) bool { return s.sumBehind(prior) == s.sum }

// sumBehind is the sum that the line has if it was written behind the line with the sum prior.
func (s *span) sumBehind(prior sum) sum {
	return chain(prior, sha256.Sum256(s.content), s.head, s.tail)
}

// entry decodes the span. It unescapes in the line's own bytes: the line is the entry's from then on, and span and
// sum are of no more use.
func (s *span) entry() (hub.Entry, error) {
	e := hub.Entry{Sequence: s.sequence, Type: typeOf(s.typ)}
	err := e.Timestamp.UnmarshalText(s.when)
	if err != nil {
		return e, errSyntax
	}
	for _, f := range []struct {
		to   *string
		text []byte
	}{{&e.ID, s.id}, {&e.Origin, s.origin}, {&e.Content, s.content[1 : len(s.content)-1]}} {
		if *f.to, err = unescape(f.text); err != nil {
			return e, err
		}
	}
	e.Meta, err = splitMeta(s.meta)
	return e, err
}

// typeOf avoids a copy for the types that there are.
func typeOf(text []byte) hub.Type {
	for _, t := range hub.Types {
		if string(text) == string(t) {
			return t
		}
	}
	return hub.Type(text)
}

func appendMeta(buf []byte, m hub.Meta) []byte {
	buf = append(buf, '{')
	for _, f := range metaFields(&m) {
		if *f.value == "" {
			continue
		}
		if buf[len(buf)-1] != '{' {
			buf = append(buf, ',')
		}
		buf = append(append(append(buf, '"'), f.name...), '"', ':')
		buf = appendString(buf, *f.value)
	}
	return append(buf, '}')
}

func splitMeta(object []byte) (hub.Meta, error) {
	var m hub.Meta
	p := parser{line: object}
	p.literal(`{`)
	for !p.bad && !p.next(`}`) {
		p.next(`,`)
		name := p.text()
		p.literal(`:`)
		value := p.text()
		for _, f := range metaFields(&m) {
			if f.name != string(name) {
				continue
			}
			var err error
			if *f.value, err = unescape(value); err != nil {
				return m, err
			}
		}
	}
	if p.bad {
		return m, errSyntax
	}
	return m, nil
}

type metaField struct {
	name  string
	value *string
}

func metaFields(m *hub.Meta) [4]metaField {
	return [4]metaField{{"display_name", &m.DisplayName}, {"host", &m.Host}, {"tool", &m.Tool}, {"via", &m.Via}}
}
