package project

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func mkdirs(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	top := t.TempDir()
	in := func(parts ...string) string { return filepath.Join(append([]string{top}, parts...)...) }
	home := in("users", "ana")
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	mkdirs(t,
		in("users", ".context"), in("users", "ana", ".context"), in("users", "ana", "src", "deep"),
		in("work", ".context"), in("work", "a", "b"),
		in("work", "repo", ".git"), in("work", "repo", "sub"),
		in("work", "shared", ".git"), in("work", "shared", ".context"), in("work", "shared", "sub"),
		in("work", "inner", ".context", "hub"),
	)
	writeFile(t, in("work", "a", ".context"), []byte("a file, not a directory"))
	for name, tc := range map[string]struct{ from, want string }{
		"here":                     {in("work"), in("work")},
		"above":                    {in("work", "a", "b"), in("work")},
		"not above a repository":   {in("work", "repo", "sub"), ""},
		"the root of a repository": {in("work", "shared", "sub"), in("work", "shared")},
		"not the home above":       {in("users", "ana", "src", "deep"), ""},
		"the home itself":          {home, home},
		"the nearest":              {in("work", "inner"), in("work", "inner")},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Find(tc.from)
			if tc.want == "" {
				if !errors.Is(err, ErrNoContext) {
					t.Fatalf("got %v, %v", d, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Root() != tc.want || d.Name() != filepath.Base(tc.want) {
				t.Errorf("found %s, named %s", d.Root(), d.Name())
			}
		})
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // again is harmless
		if _, err := Create(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Create(filepath.Join(dir, "missing")); err == nil {
		t.Error("a project was made in a directory that is not there")
	}
	taken := t.TempDir()
	writeFile(t, filepath.Join(taken, ".context"), nil)
	if _, err := Create(taken); err == nil {
		t.Error("a file was taken for .context")
	}
}
