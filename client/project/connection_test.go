package project

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// newProject makes a project in an otherwise empty home.
func newProject(t testing.TB) *Dir {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	d, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var example = Connection{
	HubAddr: "http://nexus.local:9900",
	Peers:   []string{"http://other.local:9900"},
	Project: "api",
	Token:   "ctx_cli_0123",
	HubID:   "hub-1",
	Types:   []string{"decision", "task"},
	CACert:  "-----BEGIN CERTIFICATE-----",
}

func saved(t testing.TB) (*Dir, string) {
	t.Helper()
	d := newProject(t)
	if err := d.Save(&example); err != nil {
		t.Fatal(err)
	}
	path, err := keyPath()
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestConnectionSurvivesSaveAndLoad(t *testing.T) {
	d, key := saved(t)
	got, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, example) {
		t.Errorf("loaded %+v, saved %+v", *got, example)
	}
	sealed, _ := os.ReadFile(d.connectionPath())
	if bytes.Contains(sealed, []byte(example.Token)) {
		t.Error("the token can be read in the sealed file")
	}
	if runtime.GOOS != "windows" {
		wantMode(t, d.connectionPath(), 0o600)
		wantMode(t, key, 0o600)
		wantMode(t, filepath.Dir(key), 0o700)
	}
	for _, dir := range []string{filepath.Dir(d.connectionPath()), filepath.Dir(key)} {
		if litter, _ := filepath.Glob(filepath.Join(dir, "*.tmp*")); len(litter) > 0 {
			t.Errorf("left behind: %q", litter)
		}
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
	}
}

func TestPredecessorsConnectionOpens(t *testing.T) {
	d, path := saved(t)
	key, err := readKey(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal(key, []byte(`{"hub_addr":"nexus:9900","token":"ctx_cli_old","types":["learning"],"later":1}`))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, d.connectionPath(), sealed)
	got, err := d.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Connection{HubAddr: "nexus:9900", Token: "ctx_cli_old", Types: []string{"learning"}}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v", *got)
	}
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFlippedByteIsNoticed(t *testing.T) {
	d, _ := saved(t)
	good, err := os.ReadFile(d.connectionPath())
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		writeFile(t, d.connectionPath(), bad)
		if _, err := d.Load(); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	for n := range good {
		writeFile(t, d.connectionPath(), good[:n])
		if _, err := d.Load(); !errors.Is(err, ErrSealed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, d *Dir, key string)
		want  error
	}{
		"not registered": {func(t *testing.T, d *Dir, _ string) { os.Remove(d.connectionPath()) }, ErrNotRegistered},
		"no key":         {func(t *testing.T, _ *Dir, key string) { os.Remove(key) }, ErrKeyMissing},
		"another key": {func(t *testing.T, _ *Dir, key string) {
			writeFile(t, key, bytes.Repeat([]byte{7}, keySize))
		}, ErrSealed},
		"short key":     {func(t *testing.T, _ *Dir, key string) { writeFile(t, key, []byte("short")) }, ErrSealed},
		"size is named": {func(t *testing.T, _ *Dir, key string) { writeFile(t, key, make([]byte, 33)) }, ErrKeySize},
		"no JSON": {func(t *testing.T, d *Dir, key string) {
			k, _ := readKey(key)
			sealed, _ := seal(k, []byte("hello"))
			writeFile(t, d.connectionPath(), sealed)
		}, ErrSealed},
	} {
		t.Run(name, func(t *testing.T) {
			d, key := saved(t)
			tc.spoil(t, d, key)
			if _, err := d.Load(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestPrepare(t *testing.T) {
	d := newProject(t)
	if d.Registered() {
		t.Error("a new project is registered")
	}
	if err := d.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(&example); err != nil {
		t.Fatal(err)
	}
	if !d.Registered() {
		t.Error("not registered after Save")
	}
	os.Remove(d.connectionPath())
	if err := os.Mkdir(d.connectionPath(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(); err == nil {
		t.Error("a directory in the place of the connection was not noticed")
	}
	if err := os.RemoveAll(filepath.Dir(d.connectionPath())); err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(); err == nil {
		t.Error("a .context that cannot be written to was not noticed")
	}
}

func TestOneKeyIsMadeByMany(t *testing.T) {
	newProject(t)
	const many = 16
	keys := make([][]byte, many)
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			key, err := readOrMakeKey()
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	group.Wait()
	for i, key := range keys {
		if !bytes.Equal(key, keys[0]) {
			t.Errorf("run %d has another key than run 0", i)
		}
	}
}

func TestFailedSaveKeepsTheOldConnection(t *testing.T) {
	d, _ := saved(t)
	for n := 1; ; n++ {
		failing := *d
		failing.disk = failAt(n)
		other := example
		other.Token = "ctx_cli_other"
		err := failing.Save(&other)
		got, loadErr := d.Load()
		if loadErr != nil {
			t.Fatalf("operation %d failed, and the connection is lost: %v", n, loadErr)
		}
		if err == nil {
			if got.Token != other.Token {
				t.Error("saved, but not there")
			}
			return
		}
		// Behind the rename there is the new one, and a power loss may still take it back.
		renamed := strings.Contains(err.Error(), "sync the directory")
		if got.Token != example.Token && !renamed {
			t.Errorf("operation %d failed, and the connection changed", n)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	key := bytes.Repeat([]byte{1}, keySize)
	aead, err := newAEAD(key)
	if err != nil {
		f.Fatal(err)
	}
	nonce := make([]byte, aead.NonceSize()) // the same in every process that fuzzes
	good := aead.Seal(nonce, nonce, []byte(`{"token":"t"}`), nil)
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:28])
	f.Fuzz(func(t *testing.T, sealed []byte) {
		plain, err := unseal(key, sealed)
		if err != nil && !errors.Is(err, ErrSealed) {
			t.Errorf("unexpected error %v", err)
		}
		if err == nil && !bytes.Equal(sealed, good) && len(plain) > 0 {
			t.Errorf("a forged file opened: %q", plain)
		}
	})
}
