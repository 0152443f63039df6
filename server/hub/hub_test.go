package hub

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestTokensAre256RandomBits(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		secret, ok := strings.CutPrefix(NewToken(ClientTokenPrefix), ClientTokenPrefix)
		bits, err := hex.DecodeString(secret)
		if !ok || err != nil || len(bits) != 32 || seen[secret] {
			t.Fatalf("%q, %v", secret, err)
		}
		seen[secret] = true
	}
	if HashToken("a") == HashToken("b") {
		t.Error("two tokens have one hash")
	}
}

func TestARefusalReadsAsItsSentenceAndIsItsKind(t *testing.T) {
	err := Refuse(ErrTooLarge, "%d bytes are too many", 7)
	if err.Error() != "7 bytes are too many" || !errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	entry := Entry{ID: strings.Repeat("x", MaxID), Type: Task, Content: strings.Repeat("y", MaxContent), Meta: Meta{Via: strings.Repeat("z", MaxMeta)}}
	if err := entry.Validate(); err != nil {
		t.Errorf("the largest entry: %v", err)
	}
	if err := ValidateBatch([]Entry{entry, entry, entry, entry}); err != nil {
		t.Errorf("the largest batch: %v", err)
	}
	one := entry
	one.Content = "1"
	if err := ValidateBatch([]Entry{entry, entry, entry, entry, one}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
	if err := ValidateName(strings.Repeat("n", MaxProject)); err != nil {
		t.Errorf("the longest name: %v", err)
	}
}

func TestSameComparesWhatThePublisherSaid(t *testing.T) {
	e := Entry{ID: "a", Type: Task, Content: "c", Origin: "o", Sequence: 1}
	again := e
	again.Sequence, again.Meta.Host = 9, "elsewhere"
	if !e.Same(&again) {
		t.Error("a retry from another host is not the same entry")
	}
	for _, change := range []func(*Entry){
		func(e *Entry) { e.ID = "b" }, func(e *Entry) { e.Type = Learning },
		func(e *Entry) { e.Content = "d" }, func(e *Entry) { e.Origin = "p" },
	} {
		other := e
		change(&other)
		if e.Same(&other) {
			t.Errorf("%+v passes for %+v", other, e)
		}
	}
}
