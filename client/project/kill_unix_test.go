//go:build unix

package project

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestKilledRunsLeaveNoTrace kills a process that writes the mirrors over and over, at random moments, and
// wants the next run to come to what an undisturbed one would have written.
func TestKilledRunsLeaveNoTrace(t *testing.T) {
	log := stream(processLog)
	want := undisturbed(log, Types()...)
	d := newProject(t)
	interrupted := 0
	for range 50 {
		cmd, said := process(d, 5, 1<<30)
		begun, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := begun.Read(make([]byte, 8)); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("it was not killed: %v: %s", err, said)
		}
		if st, err := d.State(); err != nil || st.Lost != "" {
			t.Fatalf("the state is damaged: %v %+v", err, st)
		} else if last := st.Cursor(Types()); last > 0 && last < processLog {
			interrupted++
		}
		if rand.IntN(2) == 0 { // every other time the next child goes on from there
			if _, err := replay(runOf(t, d, Types()...), log, 50); err != nil {
				t.Fatal(err)
			}
			sameMirrors(t, d, want)
		}
	}
	if interrupted == 0 {
		t.Error("not one of the runs was killed half way")
	}
	if _, err := replay(runOf(t, d, Types()...), log, 50); err != nil {
		t.Fatal(err)
	}
	wantMirrors(t, d, want)
}
