package cli

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]struct {
		bytes uint64
		again string
	}{
		"0": {0, "0"}, "1": {1, "1"}, "1073741824": {1 << 30, "1GiB"}, "512MiB": {512 << 20, "512MiB"}, "1GiB": {1 << 30, "1GiB"},
		"1536 KiB": {1536 << 10, "1536KiB"}, "2TiB": {2 << 40, "2TiB"}, "1025": {1025, "1025"},
	} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err != nil || uint64(s) != want.bytes || s.String() != want.again {
			t.Errorf("%q: %d, %s, %v", text, s, s, err)
		}
		var again byteSize
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q is read as %d: %v", s, again, err)
		}
	}
	for _, text := range []string{"", " ", "-1", "1.5GiB", "1GB", "1gib", "GiB", "1GiB ", "0x10", "1e9", "99999999999999999999", "99999999TiB"} {
		s := byteSize(7)
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 7 {
			t.Errorf("%q is taken for %d", text, s)
		}
	}
}

func TestLatency(t *testing.T) {
	for seconds, want := range map[float64]string{0.00005: "0.05 ms", 0.0009: "0.90 ms", 0.001: "1.0 ms", 0.0094: "9.4 ms", 0.0123: "12 ms", 0.9: "900 ms", 0.9999: "1.0 s", 16.384: "16.4 s"} {
		if got := latency(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}
