//go:build linux

package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ctxhub/cli"
)

// testDisk is a file system of the test's own.
type testDisk struct {
	t      *testing.T
	dir    string // where it is mounted
	image  string
	mounts []string // mount's arguments
}

// newExt4 makes an ext4 file system in a file and mounts it. Its lazy parts are done at once, so that nothing but the
// test writes to it.
func newExt4(t *testing.T, mebibytes int) *testDisk {
	t.Helper()
	mkfs := need(t, "mkfs.ext4")
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	check(t, err)
	check(t, f.Truncate(int64(mebibytes)<<20))
	check(t, f.Close())
	owner := fmt.Sprintf("root_owner=%d:%d,lazy_itable_init=0,lazy_journal_init=0", os.Getuid(), os.Getgid())
	if said, err := exec.Command(mkfs, "-q", "-F", "-E", owner, image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, said)
	}
	return mountImage(t, image)
}

// mountImage mounts a file as ext4. The loop device goes with the mount (-o loop).
func mountImage(t *testing.T, image string) *testDisk {
	t.Helper()
	d := newDisk(t, "-t", "ext4", "-o", "loop", image)
	d.image = image
	return d
}

// newTmpfs is a small disk in memory, to be filled.
func newTmpfs(t *testing.T, kibibytes int) *testDisk {
	t.Helper()
	return newDisk(t, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dk,mode=700,uid=%d,gid=%d", kibibytes, os.Getuid(), os.Getgid()), "tmpfs")
}

func newDisk(t *testing.T, arguments ...string) *testDisk {
	t.Helper()
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "disk")
	check(t, os.Mkdir(dir, 0o700))
	d := &testDisk{t: t, dir: dir, mounts: append(arguments, dir)}
	d.watch()
	d.mount()
	t.Cleanup(d.unmount)
	return d
}

// watch starts a shell that thaws and unmounts the disk when these tests are gone, in whatever way: it waits for the end of a
// pipe that they hold. A mount that is left over, and its loop device, would outlive them.
func (d *testDisk) watch() {
	cmd := root("sh", "-c", `read line; { fsfreeze -u "$1"; umount -l "$1"; } 2>/dev/null`, "sh", d.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or Ctrl-C would end it too
	pipe, err := cmd.StdinPipe()
	check(d.t, err)
	check(d.t, cmd.Start())
	d.t.Cleanup(func() {
		_ = pipe.Close()
		_ = cmd.Wait()
	})
}

func (d *testDisk) mount() {
	d.t.Helper()
	d.patiently("mount", d.mounts...)
}

// unmount waits until no process works on the disk any more.
func (d *testDisk) unmount() {
	d.t.Helper()
	if mounted(d.dir) {
		d.patiently("umount", d.dir)
	}
}

// patiently tries again: the last process on a disk, and the last mount's loop device, take a moment to go.
func (d *testDisk) patiently(program string, arguments ...string) {
	d.t.Helper()
	var said []byte
	await(d.t, program, func() bool {
		var err error
		said, err = root(program, arguments...).CombinedOutput()
		if len(said) > 0 && err != nil {
			d.t.Logf("%s", bytes.TrimSpace(said))
		}
		return err == nil
	})
}

// cut takes the power away.
func (d *testDisk) cut() {
	d.t.Helper()
	if os.Geteuid() == 0 {
		check(d.t, cli.PowerCut(d.dir))
		return
	}
	powercut, err := exec.LookPath("powercut")
	check(d.t, err)
	if said, err := root(powercut, d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("cut the power: %v\n%s", err, said)
	}
}

func mounted(dir string) bool {
	text, err := os.ReadFile("/proc/self/mounts")
	return err == nil && strings.Contains(string(text), " "+dir+" ")
}

// root is a command of root's, through sudo where it must be.
func root(program string, arguments ...string) *exec.Cmd {
	if os.Geteuid() == 0 {
		return exec.Command(program, arguments...)
	}
	return exec.Command("sudo", append([]string{"-n", program}, arguments...)...)
}

// needRoot skips the test where mounting is not possible; where all tests must run, that is a failure.
func needRoot(t *testing.T) {
	t.Helper()
	// A first mount of nothing: containers have a root that may not.
	probe := t.TempDir()
	said, err := root("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", probe).CombinedOutput()
	if err == nil {
		check(t, root("umount", probe).Run())
		return
	}
	missing := fmt.Sprintf("this test mounts file systems, which needs root or sudo without a password: %v %s", err, said)
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}
