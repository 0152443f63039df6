package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ctxhub/server/hub"
	"ctxhub/server/hub/hubtest"
)

func backupOf(t *testing.T, s *Store) []byte {
	t.Helper()
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := snap.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != snap.Size() {
		t.Errorf("the backup has %d bytes and said %d", b.Len(), snap.Size())
	}
	return b.Bytes()
}

func TestABackupRestoresWhatWasThere(t *testing.T) {
	dir := smallHub(t)
	s := mustOpen(t, dir)
	backup := backupOf(t, s)
	want, hubID := readAll(t, s, 0), s.HubID()
	fill(t, s, 100, 110)
	mustRotate(t, s)
	if err := s.Revoke(t.Context(), "api", hubtest.Entry("", "").Timestamp); err != nil {
		t.Fatal(err)
	}
	token, _, err := s.AdminToken()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(dir, bytes.NewReader(backup), true); !errors.Is(err, ErrInUse) {
		t.Errorf("under a running hub: %v", err)
	}
	mustClose(t, s)
	if _, err := Restore(dir, bytes.NewReader(backup), false); !errors.Is(err, ErrHasEntries) {
		t.Errorf("over entries, unasked: %v", err)
	}
	for _, into := range []string{dir, filepath.Join(t.TempDir(), "fresh", "data")} {
		done, err := Restore(into, bytes.NewReader(backup), into == dir)
		if err != nil || done.Head != 8 || done.HubID != hubID || (done.Aside != "") != (into == dir) {
			t.Fatalf("%+v, %v", done, err)
		}
		wantModes(t, into)
		s := mustOpen(t, into)
		if got := readAll(t, s, 0); !slices.Equal(got, want) || s.HubID() != hubID || len(s.Notes) != 0 {
			t.Errorf("%d entries, hub %s, notes %q", len(got), s.HubID(), s.Notes)
		}
		if _, ok := s.Authenticate(hub.HashToken("api")); !ok {
			t.Error("a project that was revoked later is not back")
		}
		again, fresh, err := s.AdminToken()
		if err != nil || fresh == (into == dir) || into == dir && again != token {
			t.Errorf("the admin token: fresh %v, %v", fresh, err)
		}
		mustClose(t, s)
		if r := mustVerify(t, into); len(r.Problems) != 0 {
			t.Errorf("%+v", r)
		}
	}
	if aside, err := filepath.Glob(filepath.Join(dir, "before-restore-*", logName)); err != nil || len(aside) != 1 {
		t.Errorf("what was there before: %v, %v", aside, err)
	}
}

// TestAnUnpackedBackupIsADataDirectory: tar alone can restore, too.
func TestAnUnpackedBackupIsADataDirectory(t *testing.T) {
	s := mustOpen(t, smallHub(t))
	backup := backupOf(t, s)
	mustClose(t, s)
	if bytes.Contains(backup, []byte(hub.AdminTokenPrefix)) {
		t.Error("the admin token is in it")
	}
	dir := t.TempDir()
	in := tar.NewReader(bytes.NewReader(backup))
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		text, err2 := io.ReadAll(in)
		name := filepath.Join(dir, header.Name)
		if err := errors.Join(err, err2, os.MkdirAll(filepath.Dir(name), dirMode), os.WriteFile(name, text, fileMode)); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	if n := len(readAll(t, s, 0)); n != 8 {
		t.Errorf("%d entries", n)
	}
}

// TestADamagedBackupIsRefusedAndNothingTouched changes every 11th byte, and cuts at every 66th.
func TestADamagedBackupIsRefusedAndNothingTouched(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, smallHub(t))
	backup := backupOf(t, s)
	mustClose(t, s)
	dir := smallHub(t)
	before := listing(t, dir)
	for at := range backup {
		for what, damaged := range map[string][]byte{"flipped": bytes.Clone(backup), "cut": backup[:at]} {
			if what == "flipped" {
				damaged[at] ^= 1 << (at % 8)
			}
			if at%11 != 0 || what == "cut" && at%66 != 0 {
				continue
			}
			m, err := checkCopy(bytes.NewReader(damaged))
			if at%2 == 0 {
				m, err = ReadBackup(bytes.NewReader(damaged), func(_ string, content io.Reader) error { _, err := io.Copy(io.Discard, content); return err })
			}
			if err == nil && harmless(backup, damaged) {
				continue
			}
			if !errors.Is(err, hub.ErrDamaged) && !errors.Is(err, ErrNewerFormat) {
				t.Fatalf("%s at %d: %+v, %v", what, at, m, err)
			}
			if at%7 == 0 {
				if _, err := Restore(dir, bytes.NewReader(damaged), true); err == nil {
					t.Fatalf("%s at %d was restored", what, at)
				}
			}
		}
	}
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("before %q\nafter %q", before, after)
	}
}

// harmless says whether two tar files hold the same, but for what a tar file does not check or does not mean: padding,
// and when a file was changed or by whom; its own checksum sees to the rest of a header.
func harmless(a, b []byte) bool { return slices.Equal(contents(a), contents(b)) }

func contents(backup []byte) (all []string) {
	in := tar.NewReader(bytes.NewReader(backup))
	for {
		header, err := in.Next()
		if err != nil {
			return append(all, fmt.Sprint(errors.Is(err, io.EOF)))
		}
		text, err := io.ReadAll(in)
		all = append(all, fmt.Sprint(header.Name, header.Size, err, string(text)))
	}
}

func TestABackupNeverReachesOutOfItsDirectory(t *testing.T) {
	for _, name := range []string{"../evil", "/etc/evil", "archive/../../evil", "admin.token", "hub.pid", "archive/entries-1-2.jsonl"} {
		var b bytes.Buffer
		out := tar.NewWriter(&b)
		manifest := fmt.Sprintf(`{"format":1,"files":[{"name":%q,"bytes":4}]}`, name)
		for _, f := range [][2]string{{manifestName, manifest}, {hashName, string(hashLine([]byte(manifest)))}, {name, "evil"}} {
			if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f[0], Size: int64(len(f[1]))}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(out, f[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		if _, err := Restore(filepath.Join(parent, "data"), &b, true); !errors.Is(err, hub.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if left := listing(t, parent); len(left) != 1 || left[0] != "/data/hub.lock " {
			t.Errorf("%s left %q", name, left)
		}
	}
}

// TestABackupIsOfOneMoment takes backups while others publish, register and rotate, and each restores to a hub that
// is whole.
func TestABackupIsOfOneMoment(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "data"))
	defer mustClose(t, s)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for p := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Append(t.Context(), []hub.Entry{hubtest.Entry(fmt.Sprintf("%d-%d", p, i), strings.Repeat("y", i%300))}); err != nil {
					t.Error(err)
					return
				}
				if i%50 == 7 {
					if _, err := s.Rotate(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 12 {
		before, _ := s.Head()
		backup := backupOf(t, s)
		dir := filepath.Join(t.TempDir(), "data")
		done, err := Restore(dir, bytes.NewReader(backup), false)
		if err != nil || done.Head < before {
			t.Fatalf("%+v, %v; the head was %d", done, err, before)
		}
		if r := mustVerify(t, dir); len(r.Problems) != 0 || r.Entries != done.Head {
			t.Fatalf("%+v", r)
		}
	}
	close(stop)
	wg.Wait()
}

func TestSaveBackupLeavesAWholeFileOrNone(t *testing.T) {
	s := mustOpen(t, smallHub(t))
	backup := backupOf(t, s)
	mustClose(t, s)
	name := filepath.Join(t.TempDir(), "a backup.tar")
	whole := func(w io.Writer) error { _, err := w.Write(backup); return err }
	for n := 0; ; n++ {
		f := &faulty{after: -1}
		f.arm(n, "", true)
		_, err := saveBackup(f, name, true, whole)
		if !f.broken {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err == nil {
			t.Errorf("fault at %d: nothing is said", n)
		}
		if text, err := os.ReadFile(name); err == nil && !bytes.Equal(text, backup) {
			t.Errorf("fault at %d left a part", n)
		}
		if left := leftOf(t, name); len(left) > 0 {
			t.Errorf("fault at %d left %s", n, left)
		}
	}
	if _, err := SaveBackup(name, false, whole); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
	broken := errors.New("the connection broke")
	for what, from := range map[string]func(io.Writer) error{
		"an error on the way": func(w io.Writer) error { return errors.Join(whole(w), broken) },
		"half of it":          func(w io.Writer) error { _, err := w.Write(backup[:len(backup)/2]); return err },
		"nothing":             func(io.Writer) error { return nil },
	} {
		other := filepath.Join(t.TempDir(), "b.tar")
		if _, err := SaveBackup(other, false, from); err == nil || exists(other) || len(leftOf(t, other)) > 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAFaultAtEveryStepOfARestore: what a failed restore leaves is the data from before or the backup's, and the
// next start has one of them, whole.
func TestAFaultAtEveryStepOfARestore(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, smallHub(t))
	backup := backupOf(t, s)
	mustClose(t, s)
	old := filepath.Join(t.TempDir(), "data")
	s = mustOpen(t, old)
	fill(t, s, 0, 3)
	mustRotate(t, s)
	fill(t, s, 3, 4)
	mustClose(t, s)
	for n := 0; ; n++ {
		dir := copyDir(t, old)
		f := &faulty{after: -1}
		f.arm(n, "", true)
		_, err := restore(f, dir, bytes.NewReader(backup), true)
		if err == nil && f.broken {
			t.Errorf("fault at %d: nothing is said", n)
		}
		if decided := exists(filepath.Join(dir, swapName)); decided != errors.Is(err, ErrUnfinished) {
			t.Errorf("fault at %d: decided %v, and it says %v", n, decided, err)
		}
		s := mustOpen(t, dir)
		all := readAll(t, s, 0)
		switch {
		case len(all) == 8 && all[7].ID == "id-8":
		case len(all) == 4 && all[3].ID == "id-3" && err != nil:
		default:
			t.Errorf("fault at %d (%v): %d entries", n, err, len(all))
		}
		mustClose(t, s)
		if r := mustVerify(t, dir); len(r.Problems) > 0 || len(r.Notes) > 0 {
			t.Errorf("fault at %d: %+v", n, r)
		}
		if !f.broken {
			break
		}
	}
}

// TestABackupSaysWhenTheDiskCannotBeRead lets the n-th read fail.
func TestABackupSaysWhenTheDiskCannotBeRead(t *testing.T) {
	s, f, _ := openFaulty(t)
	for i := range 5 {
		if err := appendOne(t, s, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; ; n++ {
		f.arm(n, "read", false)
		snap, err := s.Snapshot()
		if err == nil {
			_, err = snap.WriteTo(io.Discard)
		}
		if !f.broken {
			break
		}
		if !errors.Is(err, errFault) {
			t.Errorf("read %d fails, and the backup says %v", n, err)
		}
	}
	f.arm(-1, "", false)
	mustClose(t, s)
}

// TestABackupOfARottenLogFails: a bit that flipped on the disk since the hub has checked it is not backed up as if it
// were right.
func TestABackupOfARottenLogFails(t *testing.T) {
	dir := smallHub(t)
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	for _, name := range []string{archivedName(1, 3), logName} {
		file := filepath.Join(dir, name)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 4
		if err := os.WriteFile(file, bad, fileMode); err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		_, err = SaveBackup(filepath.Join(t.TempDir(), "b.tar"), false, func(w io.Writer) error { _, err := snap.WriteTo(w); return err })
		if !errors.Is(err, hub.ErrDamaged) || !strings.Contains(err.Error(), filepath.ToSlash(name)) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.WriteFile(file, good, fileMode); err != nil {
			t.Fatal(err)
		}
	}
}

// TestABackupBesideTheHubIsTheHubsOwn: with the files read from the directory, also after they moved on, the backup is
// byte for byte the one that the hub itself would have written.
func TestABackupBesideTheHubIsTheHubsOwn(t *testing.T) {
	dir := smallHub(t)
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var want, small bytes.Buffer
	if _, err := snap.WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	if _, err := snap.WithoutLog().WriteTo(&small); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(){
		func() {}, func() { fill(t, s, 100, 103) },
	} {
		change()
		if got := besideHub(t, dir, small.Bytes()); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%d bytes, want %d", len(got), want.Len())
		}
	}
	// Sealed with more than the backup has.
	mustRotate(t, s)
	if got := besideHub(t, dir, small.Bytes()); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("grown, then sealed: %d bytes, want %d", len(got), want.Len())
	}
	fill(t, s, 150, 152)
	// Sealed at the very entry at which the backup was taken.
	if snap, err = s.Snapshot(); err != nil {
		t.Fatal(err)
	}
	want.Reset()
	small.Reset()
	if _, err := snap.WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	if _, err := snap.WithoutLog().WriteTo(&small); err != nil {
		t.Fatal(err)
	}
	mustRotate(t, s)
	fill(t, s, 200, 240)
	if got := besideHub(t, dir, small.Bytes()); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("after a rotation: %d bytes, want %d", len(got), want.Len())
	}
}

func besideHub(t *testing.T, dir string, small []byte) []byte {
	t.Helper()
	snap, err := BesideHub(dir, bytes.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = snap.WriteTo(&b)
	if err := errors.Join(err, snap.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRestoresAtOnceLoseNothing: of two restores into one new directory the one that fails takes nothing of the other's
// away.
func TestRestoresAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, smallHub(t))
	backup := backupOf(t, s)
	mustClose(t, s)
	for n := range 10 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("new", n))
		var wg sync.WaitGroup
		var good atomic.Int32
		for range 2 {
			wg.Go(func() {
				if _, err := Restore(dir, bytes.NewReader(backup), false); err == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 {
			t.Fatalf("%d of 2 succeeded", good.Load())
		}
		if r := mustVerify(t, dir); len(r.Problems) > 0 || r.Entries != 8 {
			t.Fatalf("%+v", r)
		}
	}
}

func TestABackupBesideAHubWhoseLogIsGone(t *testing.T) {
	dir := smallHub(t)
	s := mustOpen(t, dir)
	defer mustClose(t, s)
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	if _, err := snap.WithoutLog().WriteTo(&small); err != nil {
		t.Fatal(err)
	}
	if _, err := BesideHub(t.TempDir(), &small); !errors.Is(err, ErrDataDir) {
		t.Error(err)
	}
}

// leftOf are the files that a backup has left beside the one it was to write.
func leftOf(t *testing.T, name string) []string {
	t.Helper()
	left, err := filepath.Glob(name + newSuffix + "*")
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// TestBackupsToOneFileAtOnce: the file is one of them, whole, and nobody's file of a like name is touched.
func TestBackupsToOneFileAtOnce(t *testing.T) {
	s := mustOpen(t, smallHub(t))
	first := backupOf(t, s)
	fill(t, s, 100, 200)
	second := backupOf(t, s)
	mustClose(t, s)
	name := filepath.Join(t.TempDir(), "hub.tar")
	mine := name + newSuffix
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	half, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := SaveBackup(name, true, func(w io.Writer) error {
			_, err := w.Write(first[:4000])
			close(half)
			<-goOn
			_, err2 := w.Write(first[4000:])
			return errors.Join(err, err2)
		})
		done <- err
	}()
	<-half
	_, err := SaveBackup(name, true, func(w io.Writer) error { _, err := w.Write(second); return err })
	if text, err2 := os.ReadFile(name); err != nil || err2 != nil || !bytes.Equal(text, second) {
		t.Errorf("the quick one: %v, %v", err, err2)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(name); err != nil || !bytes.Equal(text, first) {
		t.Errorf("the slow one: %d bytes, %v", len(text), err)
	}
	if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" || len(leftOf(t, name)) != 1 {
		t.Errorf("another's file: %q, %v; beside it %q", text, err, leftOf(t, name))
	}
}

// zeros is a file of any length.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// TestABackupTakesAnyLength: the header of a file of 8 GiB and more fits, and is as long as Size says.
func TestABackupTakesAnyLength(t *testing.T) {
	const size = 9 << 30
	snap := &Snapshot{files: []ManifestFile{{Name: logName, Bytes: size}}, sources: []io.ReaderAt{zeros{}}}
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := snap.WriteTo(writer)
		done <- errors.Join(err, writer.CloseWithError(err))
	}()
	in := tar.NewReader(reader)
	for _, want := range []string{manifestName, hashName, logName} {
		header, err := in.Next()
		if err != nil || header.Name != want || want == logName && header.Size != size {
			t.Fatalf("%+v, %v", header, err)
		}
	}
	_ = reader.Close() // the nine gigabytes are not wanted
	<-done
	if want := int64(tarBlock*3 + size + tarBlock + tarEnd); snap.Size() != want {
		t.Errorf("it says %d bytes, want %d", snap.Size(), want)
	}
}
