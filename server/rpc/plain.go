package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"

	"connectrpc.com/connect"
)

// Connect streams JSON in binary envelopes, which neither curl nor jq can read. plainStreams lets the named
// streaming methods also be called as a unary one is: GET with ?message={…}, or POST of application/json. The
// answer is one JSON message a line. An error before the first message is answered as a unary call's; one after
// it is a last line {"error":{…}}.
func plainStreams(write *connect.ErrorWriter, next http.Handler, procedures ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(procedures, r.URL.Path) || !isPlain(r) {
			next.ServeHTTP(w, r)
			return
		}
		message, err := plainMessage(r)
		if err != nil {
			_ = write.Write(w, r, connect.NewError(connect.CodeInvalidArgument, err)) // fails only if the caller has gone
			return
		}
		inner := r.Clone(r.Context())
		inner.Method = http.MethodPost
		inner.URL.RawQuery = ""
		inner.Header.Set("Content-Type", "application/connect+json")
		inner.Header.Del("Connect-Accept-Encoding")
		inner.Header.Del("Connect-Content-Encoding")
		envelope := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // at most maxPlain
		envelope = append(envelope, message...)
		inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(envelope)), int64(len(envelope))
		lines := &lineWriter{w: w, r: r, errors: write}
		next.ServeHTTP(lines, inner)
	})
}

const maxPlain = 64 << 10 // bytes of a Sync or Listen request

func isPlain(r *http.Request) bool {
	if r.Method == http.MethodGet {
		return true
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && r.Method == http.MethodPost && media == "application/json"
}

func plainMessage(r *http.Request) ([]byte, error) {
	message := []byte(r.URL.Query().Get("message"))
	if r.Method == http.MethodPost {
		var err error
		if message, err = io.ReadAll(io.LimitReader(r.Body, maxPlain+1)); err != nil {
			return nil, err
		}
	}
	if len(message) == 0 {
		message = []byte(`{}`)
	}
	if len(message) > maxPlain {
		return nil, errors.New("the request is longer than 64 KiB")
	}
	return message, nil
}

// lineWriter turns envelopes (one byte of flags, four of length, a message) into lines.
type lineWriter struct {
	w      http.ResponseWriter
	r      *http.Request
	errors *connect.ErrorWriter
	buf    []byte
	begun  bool
}

const endOfStream = 2 // flag of the last envelope

func (l *lineWriter) Header() http.Header { return l.w.Header() }

// WriteHeader holds a 200 back until the first message shows that the call was taken.
func (l *lineWriter) WriteHeader(status int) {
	if status != http.StatusOK {
		l.w.WriteHeader(status)
	}
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for len(l.buf) >= 5 {
		size := int(binary.BigEndian.Uint32(l.buf[1:5]))
		if len(l.buf) < 5+size {
			break
		}
		if err := l.message(l.buf[0], l.buf[5:5+size]); err != nil {
			return 0, err
		}
		l.buf = append(l.buf[:0], l.buf[5+size:]...)
	}
	return len(p), nil
}

func (l *lineWriter) message(flags byte, text []byte) error {
	if flags&endOfStream == 0 {
		l.begin()
		if _, err := l.w.Write(text); err != nil {
			return err
		}
		_, err := io.WriteString(l.w, "\n")
		return err
	}
	var end struct {
		Error *struct {
			Code    connect.Code `json:"code"`
			Message string       `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &end); err != nil {
		return err
	}
	switch {
	case end.Error == nil:
		l.begin()
		return nil
	case !l.begun:
		l.w.Header().Del("Content-Type")
		return l.errors.Write(l.w, l.r, connect.NewError(end.Error.Code, errors.New(end.Error.Message)))
	}
	return json.NewEncoder(l.w).Encode(end)
}

func (l *lineWriter) begin() {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.WriteHeader(http.StatusOK)
	}
}

// Flush passes on: each message must leave at once. Before the first there is nothing to send.
func (l *lineWriter) Flush() {
	if f, ok := l.w.(http.Flusher); ok && l.begun {
		f.Flush()
	}
}
