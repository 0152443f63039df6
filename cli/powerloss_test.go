//go:build linux

package cli_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ctxhub/client"
)

// How often the power goes in the two tests here.
const (
	usualCuts   = 40
	usualCopies = 10
	usualLosses = usualCuts + usualCopies
)

// TestPowerLossLosesNothing takes the power from a disk, at random moments, on which a hub and a project are at work,
// then kills the hub, mounts the disk again and starts the hub. Every acknowledged entry and registration is there, once
// and in order, with its sequence and content; the log begins with all that was in it before; the hub needs no hand; and
// the project's next sync makes the mirrors that a project has which was never disturbed.
func TestPowerLossLosesNothing(t *testing.T) {
	t.Parallel()
	chapters(t, usualCuts, usualLosses, func(t *testing.T, random *rand.Rand, cuts int) {
		disk := newExt4(t, 128)
		h := startHubIn(t, filepath.Join(disk.dir, "hub-data"), "--disk-reserve", "0")
		w := newWork(t, random, h)
		w.join(disk.dir)
		begin := time.Now()
		w.disturbed.ctx("connection", "sync")
		command := time.Since(begin) // how long one takes here: a moment within it is wanted
		late := 0
		for cut := range cuts {
			// The first one comes right after what was just registered.
			end := w.begin(cut > 0)
			if cut > 0 {
				time.Sleep(time.Duration(random.Int64N(int64(4 * command))))
			}
			// The machine stops in the same moment. Otherwise the hub would hear, and tell, what nobody lives to hear: a
			// sync that is under way while the file system is shut down may return without an error and be lost, since
			// the kernel finds no commit left to wait for.
			h.freeze()
			disk.cut()
			h.kill()
			late += end()
			disk.unmount()
			disk.mount()
			h.restart(t)
			w.checkLog(filepath.Join(h.dir, "entries.jsonl"))
			w.checkMirrors()
			if t.Failed() {
				t.Fatalf("after cut %d", cut+1)
			}
		}
		w.finish()
		t.Logf("%d cuts, %d entries, %d acknowledged, %d of them by commands on the disk; %d registrations; %d commands were cut off",
			cuts, w.head(), len(w.acked), w.byCommand, len(w.projects), late)
		if len(w.acked) < cuts || late == 0 {
			t.Error("too little was under way: this shows nothing")
		}
	})
}

// TestACopyOfTheDiskLosesNothing copies the disk under a hub that is being published to, at random moments, as a loss of
// power would leave it: with what reached it, and without what the kernel still holds. A hub that starts on the copy has
// all that was acknowledged before.
func TestACopyOfTheDiskLosesNothing(t *testing.T) {
	t.Parallel()
	chapters(t, usualCopies, usualLosses, func(t *testing.T, random *rand.Rand, copies int) {
		disk := newExt4(t, 64)
		h := startHubIn(t, filepath.Join(disk.dir, "hub-data"), "--disk-reserve", "0")
		w := newWork(t, random, h)
		total := 0
		for i := range copies {
			end := w.begin(true)
			time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
			// Stopped, so that the copy is of one moment; the kernel finishes what it has begun.
			h.freeze()
			before := w.acknowledged()
			image := still(t, disk.image)
			h.signal(syscall.SIGCONT)
			end()
			total += len(before)
			t.Run(fmt.Sprint(i), func(t *testing.T) { startOnCopy(t, image, w, before) })
		}
		t.Logf("%d copies, %d acknowledged, %d looked for in all", copies, len(w.acked), total)
		if len(w.acked) < copies {
			t.Error("too little was acknowledged: this shows nothing")
		}
	})
}

// freeze stops the process. A signal is first taken by one thread, which then tells the others: the process stands still
// when that one does, but for system calls that are under way.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	tasks := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		names, err := filepath.Glob(tasks)
		check(p.t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err == nil && bytes.Contains(text, []byte(") T ")) {
				return
			}
		}
	}
	p.t.Fatal("the process does not stop")
}

// still reads a disk's image when nothing is being written to it.
func still(t *testing.T, image string) []byte {
	t.Helper()
	var last []byte
	await(t, "the disk to come to rest", func() bool {
		now, err := os.ReadFile(image)
		check(t, err)
		same := bytes.Equal(now, last)
		last = now
		return same
	})
	return last
}

func startOnCopy(t *testing.T, image []byte, w *work, acked map[string]uint64) {
	name := filepath.Join(t.TempDir(), "copy")
	check(t, writeSparse(name, image))
	disk := mountImage(t, name)
	h := startHubIn(t, filepath.Join(disk.dir, "hub-data"), "--disk-reserve", "0")
	log := readAll(t, newClient(t, client.Config{Addresses: []string{h.address}, Token: w.token}), 0)
	checkEntries(t, log, 0, map[string]uint64{})
	found := make(map[string]uint64, len(log))
	for _, e := range log {
		found[e.GetId()] = e.GetSequence()
	}
	checkAcknowledged(t, acked, found)
	h.kill() // a drain would wait for the idle connection
}

// writeSparse leaves out what is zero, which is most of a disk.
func writeSparse(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	const block = 64 << 10
	zeros := make([]byte, block)
	for at := 0; at < len(data); at += block {
		part := data[at:min(at+block, len(data))]
		if bytes.Equal(part, zeros[:len(part)]) {
			continue
		}
		if _, err := f.WriteAt(part, int64(at)); err != nil {
			return err
		}
	}
	return f.Truncate(int64(len(data)))
}
