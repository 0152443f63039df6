package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctxhub/server/hub"
)

// oldFixture is a data directory as ctx 0.8 left it, with everything that it could do wrong.
const oldFixture = "testdata/ctx-0.8"

const oldToken = "ctx_cli_0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"

func TestADirectoryOfCtx08IsUpgraded(t *testing.T) {
	dir := copyDir(t, oldFixture)
	s := mustOpen(t, dir)
	wantUpgraded(t, s)
	if len(s.Notes) < 7 {
		t.Errorf("notes: %q", s.Notes)
	}
	for _, words := range []string{"upgraded: 6 entries, 2 projects", `".context" is the project "context"`, "left out: the content is empty",
		"has the id and the content of an earlier one", "has the id of another entry", "is no entry"} {
		if !strings.Contains(strings.Join(s.Notes, "\n"), words) {
			t.Errorf("the notes do not say %q: %q", words, s.Notes)
		}
	}
	mustClose(t, s)
	wantModes(t, dir)
	aside, err := filepath.Glob(filepath.Join(dir, "before-upgrade-*"))
	if err != nil || len(aside) != 1 {
		t.Fatal(aside, err)
	}
	for _, name := range []string{logName, metaName, oldClientsName} {
		was, err1 := os.ReadFile(filepath.Join(oldFixture, name))
		is, err2 := os.ReadFile(filepath.Join(aside[0], name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(was, is) {
			t.Errorf("%s was not kept as it was: %v", name, err)
		}
	}
	if exists(filepath.Join(dir, oldClientsName)) {
		t.Error("tokens in plain text are still there")
	}
	s = mustOpen(t, dir) // once is enough
	defer mustClose(t, s)
	wantUpgraded(t, s)
	if len(s.Notes) != 0 {
		t.Errorf("notes of the second start: %q", s.Notes)
	}
}

func TestACopiedLogOfCtx08IsUpgraded(t *testing.T) {
	log, err := os.ReadFile(filepath.Join(oldFixture, logName))
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dirWith(t, log))
	defer mustClose(t, s)
	if n := len(readAll(t, s, 0)); n != 6 {
		t.Errorf("%d entries", n)
	}
}

func TestVerifyLeavesADirectoryOfCtx08Alone(t *testing.T) {
	if _, err := Verify(copyDir(t, oldFixture), nil); !errors.Is(err, ErrOlderFormat) {
		t.Error(err)
	}
}

func wantUpgraded(t *testing.T, s *Store) {
	t.Helper()
	all := readAll(t, s, 0)
	if len(all) != 6 {
		t.Fatalf("%d entries", len(all))
	}
	if e := all[0]; e.ID != "a1" || e.Type != hub.Decision || e.Content != "Use UTC everywhere" || e.Origin != "state" ||
		e.Timestamp.Format("2006-01-02T15:04:05Z07:00") != "2026-03-01T11:30:00Z" || e.Meta.DisplayName != "Ada" {
		t.Errorf("%+v", e)
	}
	if e := all[2]; e.ID != "a1:4" || e.Content != "Another one under the same id" {
		t.Errorf("%+v", e)
	}
	if e := all[3]; e.ID != "ctx-0.8:5" || len(e.Content) != 100_000 {
		t.Errorf("%s, %d bytes", e.ID, len(e.Content))
	}
	if p, ok := s.Authenticate(hub.HashToken(oldToken)); !ok || p.Name != "context" {
		t.Errorf("an old client's token: %+v, %v", p, ok)
	}
	if token, fresh, err := s.AdminToken(); err != nil || fresh || !strings.HasPrefix(token, hub.AdminTokenPrefix) {
		t.Errorf("the old admin token: fresh %v, %v", fresh, err)
	}
}

// TestAFaultAtEveryStepOfAnUpgrade: an upgrade that fails leaves the old directory or the new one, and the next
// start ends where an undisturbed one would have.
func TestAFaultAtEveryStepOfAnUpgrade(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		dir := copyDir(t, oldFixture)
		f := &faulty{after: -1}
		f.arm(n, "", true)
		s, err := open(dir, Options{}, f)
		if err == nil {
			f.arm(-1, "", false)
			mustClose(t, s)
			if !f.broken {
				break
			}
		}
		s = mustOpen(t, dir)
		wantUpgraded(t, s)
		mustClose(t, s)
	}
}

// TestOurFormatsOpen opens a data directory of each format that was ever released, and finds all that is in it.
func TestOurFormatsOpen(t *testing.T) {
	for name, entries := range map[string]int{"format-1": 8} {
		dir := copyDir(t, filepath.Join("testdata", name))
		if r := mustVerify(t, dir); len(r.Problems) != 0 || r.Entries != uint64(entries) {
			t.Errorf("%s: %+v", name, r)
		}
		s := mustOpen(t, dir)
		all := readAll(t, s, 0)
		if len(all) != entries || all[7].ID != "id-8" || len(s.Notes) != 0 {
			t.Errorf("%s: %d entries, notes %q", name, len(all), s.Notes)
		}
		if _, ok := s.Authenticate(hub.HashToken("api")); !ok {
			t.Errorf("%s: a project is gone", name)
		}
		mustClose(t, s)
	}
}
