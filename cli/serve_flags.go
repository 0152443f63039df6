package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ctxhub/server"
)

// serveFlags say how a hub serves. ctx hub start takes them, and ctx hub install-service hands them on.
type serveFlags struct {
	Port                 int           `default:"9900" placeholder:"N" help:"Port to listen on (${default}); 0 takes a free one."`
	Bind                 string        `placeholder:"ADDR" help:"Address to listen on (all of this host's)."`
	TLSCert              string        `name:"tls-cert" placeholder:"FILE" help:"Certificate to serve TLS with, in PEM form. Read again when it changes."`
	TLSKey               string        `name:"tls-key" placeholder:"FILE" help:"The certificate's key."`
	AllowOrigin          []string      `placeholder:"ORIGIN" help:"Let pages of this site call the hub (scheme://host[:port]); may be repeated."`
	Heartbeat            time.Duration `default:"10s" placeholder:"TIME" help:"Longest silence on an idle stream, at most 20s (${default})."`
	MaxStreams           int           `default:"4096" placeholder:"N" help:"Streams open at once (${default})."`
	MaxStreamsPerProject int           `default:"64" placeholder:"N" help:"Of these, streams of one project (${default})."`
	DiskReserve          byteSize      `default:"64MiB" placeholder:"SIZE" help:"Refuse entries when less than this is free on the disk (${default}); 0 goes on until it is full."`
	OpenMetrics          bool          `help:"Show /metrics to whoever asks, without a token."`
	LogLevel             string        `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"What is logged: debug, info, warn or error and above (${default})."`
	LogFormat            string        `default:"text" enum:"text,json" placeholder:"FORMAT" help:"How: text or json (${default})."`
}

func (f *serveFlags) config(dir string) server.Config {
	return server.Config{
		Bind: f.Bind, Port: f.Port, DataDir: dir,
		TLSCert: f.TLSCert, TLSKey: f.TLSKey, AllowOrigins: f.AllowOrigin,
		Heartbeat: f.Heartbeat, MaxStreams: f.MaxStreams, MaxStreamsPerProject: f.MaxStreamsPerProject,
		DiskReserve: uint64(f.DiskReserve), OpenMetrics: f.OpenMetrics,
		Version: versionLine(),
	}
}

func (f *serveFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(level.String(), f.LogLevel) {
			options.Level = level
		}
	}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// words are the flags as they would be typed, with absolute paths, as a service has no working directory to speak of.
func (f *serveFlags) words() ([]string, error) {
	line := []string{"--port", strconv.Itoa(f.Port)}
	if f.Bind != "" {
		line = append(line, "--bind", f.Bind)
	}
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return nil, usage("ctx hub install-service --tls-cert FILE --tls-key FILE", "a TLS certificate and its key go together")
	}
	if f.TLSCert != "" {
		cert, err1 := filepath.Abs(f.TLSCert)
		key, err2 := filepath.Abs(f.TLSKey)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		line = append(line, "--tls-cert", cert, "--tls-key", key)
	}
	for _, origin := range f.AllowOrigin {
		line = append(line, "--allow-origin", origin)
	}
	line = append(line, "--heartbeat", f.Heartbeat.String(), "--max-streams", strconv.Itoa(f.MaxStreams),
		"--max-streams-per-project", strconv.Itoa(f.MaxStreamsPerProject), "--disk-reserve", f.DiskReserve.String(),
		"--log-level", f.LogLevel, "--log-format", f.LogFormat)
	if f.OpenMetrics {
		line = append(line, "--open-metrics")
	}
	return line, nil
}

// byteSize is a number of bytes as people type it.
type byteSize uint64

var sizeUnits = []struct {
	name  string
	bytes uint64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// UnmarshalText implements encoding.TextUnmarshaler, for the command line.
func (s *byteSize) UnmarshalText(text []byte) error {
	digits, unit := string(text), uint64(1)
	for _, u := range sizeUnits {
		if number, found := strings.CutSuffix(digits, u.name); found {
			digits, unit = strings.TrimSpace(number), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > 1<<62/unit {
		return fmt.Errorf("%q is not a size: write bytes, as in 1073741824, or KiB, MiB, GiB or TiB, as in 512MiB", text)
	}
	*s = byteSize(n * unit)
	return nil
}

// String is exact, and reads as what UnmarshalText takes.
func (s byteSize) String() string {
	for _, u := range sizeUnits {
		if n := uint64(s); n > 0 && n%u.bytes == 0 {
			return strconv.FormatUint(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}
