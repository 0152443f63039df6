package store

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"unsafe"
)

// parser walks along a line; after the first surprise it is bad and stays where it is.
type parser struct {
	line []byte
	at   int
	bad  bool
}

func (p *parser) next(want string) bool {
	if p.bad || !bytes.HasPrefix(p.line[p.at:], []byte(want)) {
		return false
	}
	p.at += len(want)
	return true
}

func (p *parser) literal(want string) { p.bad = !p.next(want) }

func (p *parser) number() uint64 {
	var n uint64
	start := p.at
	for ; !p.bad && p.at < len(p.line) && p.line[p.at]-'0' <= 9 && p.at-start < 19; p.at++ {
		n = n*10 + uint64(p.line[p.at]-'0')
	}
	p.bad = p.bad || p.at == start || (p.line[start] == '0' && p.at-start > 1)
	return n
}

// text walks over a JSON string and returns what stands between its quotes, escapes and all.
func (p *parser) text() []byte {
	p.literal(`"`)
	start := p.at
	for !p.bad {
		i := bytes.IndexByte(p.line[p.at:], '"')
		if i < 0 {
			p.bad = true
			break
		}
		p.at += i + 1
		if !escaped(p.line[start : p.at-1]) {
			return p.line[start : p.at-1]
		}
	}
	return nil
}

// escaped says whether the byte behind text stands behind an odd number of backslashes.
func escaped(text []byte) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// object walks over a flat JSON object of strings and returns it, braces and all.
func (p *parser) object() []byte {
	start := p.at
	p.literal(`{`)
	for first := true; !p.bad && !p.next(`}`); first = false {
		if !first {
			p.literal(`,`)
		}
		p.text()
		p.literal(`:`)
		p.text()
	}
	if p.bad {
		return nil
	}
	return p.line[start:p.at]
}

func (p *parser) sum(into *sum) {
	if p.bad || len(p.line)-p.at < hex.EncodedLen(len(into)) {
		p.bad = true
		return
	}
	text := p.line[p.at : p.at+hex.EncodedLen(len(into))]
	_, err := hex.Decode(into[:], text)
	// Upper-case digits mean the same to hex.Decode, but were never written: a flipped bit.
	p.bad = err != nil || bytes.ContainsAny(text, "ABCDEF")
	p.at += len(text)
}

const hexDigits = "0123456789abcdef"

// appendString writes s as JSON. Only what JSON demands is escaped; s is valid UTF-8.
func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		buf = append(buf, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			buf = append(buf, '\\', c)
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		case '\t':
			buf = append(buf, '\\', 't')
		default:
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(buf, s[start:]...), '"')
}

// unescape decodes a JSON string's text in its own place: it only gets shorter. The string it returns is a view of
// those bytes, without a copy, so the buffer belongs to the decoded entries from then on.
func unescape(text []byte) (string, error) {
	at := bytes.IndexByte(text, '\\')
	if at < 0 {
		return unsafe.String(unsafe.SliceData(text), len(text)), nil //nolint:gosec // nobody writes to text after this
	}
	for rest := text[at:]; len(rest) > 0; {
		if rest[0] != '\\' {
			n := bytes.IndexByte(rest, '\\')
			if n < 0 {
				n = len(rest)
			}
			at += copy(text[at:], rest[:n])
			rest = rest[n:]
			continue
		}
		c, after, ok := unescapeOne(rest[1:])
		if !ok {
			return "", errSyntax
		}
		text[at], rest = c, after
		at++
	}
	return unsafe.String(unsafe.SliceData(text), at), nil //nolint:gosec // nor after this
}

func unescapeOne(text []byte) (c byte, after []byte, ok bool) {
	if len(text) == 0 {
		return 0, nil, false
	}
	switch c := text[0]; c {
	case '"', '\\':
		return c, text[1:], true
	case 'n':
		return '\n', text[1:], true
	case 'r':
		return '\r', text[1:], true
	case 't':
		return '\t', text[1:], true
	case 'u':
		if len(text) >= 5 && string(text[1:3]) == "00" {
			if n, err := strconv.ParseUint(string(text[3:5]), 16, 8); err == nil {
				return byte(n), text[5:], true
			}
		}
	}
	return 0, nil, false
}
