//go:build linux

package cli_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// chapters runs test for as many faults as usual, or for as many as CTX_TORTURE says (make torture). Of these it takes the
// share that it usually has: usual of all. After as many as usual a new hub begins, since a log that only grows would
// make each restart slower than the one before.
func chapters(t *testing.T, usual, all int, test func(t *testing.T, random *rand.Rand, faults int)) {
	t.Helper()
	random := chance(t)
	text := os.Getenv("CTX_TORTURE")
	if text == "" {
		test(t, random, usual)
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CTX_TORTURE=%s is not a number of faults", text)
	}
	total := (n*usual + all - 1) / all
	for done := 0; done < total; done += usual {
		t.Run(fmt.Sprint("from ", done), func(t *testing.T) { test(t, random, min(usual, total-done)) })
	}
}

// chance is reproducible: a run tells its seed, and CTX_SEED brings it back.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CTX_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		check(t, err)
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}
