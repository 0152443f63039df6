//go:build unix

package project

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestKeyThatOthersCanReadIsRefused(t *testing.T) {
	d, key := saved(t)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601, 0o644} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		_, err := d.Load()
		if !errors.Is(err, ErrKeyMode) || !strings.Contains(err.Error(), "chmod 600 "+key) {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err := d.Prepare(); !errors.Is(err, ErrKeyMode) {
			t.Errorf("mode %04o: Prepare: %v", mode, err)
		}
	}
}
