package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files are the contents of all that is in a project's .context.
func files(t *testing.T, d *Dir) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(filepath.Join(d.root, contextDir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			all[path] = ""
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Inspect says what the next sync will do, and does none of it.
func TestInspectFindsDamageAndLeavesIt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(d *Dir) error
		want   string
	}{
		{"none", func(*Dir) error { return nil }, ""},
		{"edited", func(d *Dir) error { return os.WriteFile(d.hubPath("tasks.md"), []byte("mine"), 0o600) }, "tasks.md was edited"},
		{"gone", func(d *Dir) error { return os.Remove(d.hubPath("decisions.md")) }, "decisions.md was gone"},
		{"no state", func(d *Dir) error { return os.WriteFile(d.hubPath(stateFile), []byte("{"), 0o600) }, "the sync state was damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newProject(t)
			log := stream(40)
			_, c := newHub(t, log)
			mustSync(t, d, c, log, "decision", "task")
			if err := tt.damage(d); err != nil {
				t.Fatal(err)
			}
			before := files(t, d)
			_, anew, err := Inspect(t.Context(), d, &Connection{Types: []string{"decision", "task"}})
			got := strings.Join(anew, "; ")
			if err != nil || !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%q, %v", got, err)
			}
			after := files(t, d)
			for path, text := range before {
				if after[path] != text || len(after) != len(before) {
					t.Errorf("%s was changed", path)
				}
			}
		})
	}
}

func TestInspectBeforeTheFirstSync(t *testing.T) {
	d := newProject(t)
	st, anew, err := Inspect(t.Context(), d, &Connection{Types: []string{"task"}})
	if err != nil || len(anew) > 0 || !st.LastSuccess.IsZero() {
		t.Errorf("%+v, %v, %v", st, anew, err)
	}
	if exists(d.hubPath("")) {
		t.Error("looking has made a directory")
	}
	if _, _, err := Inspect(t.Context(), d, &Connection{}); !errors.Is(err, ErrNoTypes) {
		t.Errorf("subscribed to nothing: %v", err)
	}
}

func TestCheckKey(t *testing.T) {
	newProject(t)
	path, err := CheckKey()
	if !errors.Is(err, fs.ErrNotExist) || exists(path) {
		t.Errorf("no key: %s, %v", path, err)
	}
	_, path = saved(t)
	if got, err := CheckKey(); err != nil || got != path {
		t.Errorf("%s, %v", got, err)
	}
	if err := os.WriteFile(path, make([]byte, 31), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckKey(); !errors.Is(err, ErrKeySize) {
		t.Errorf("31 bytes: %v", err)
	}
}
