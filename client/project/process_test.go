package project

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// The test binary starts itself again as another process that syncs; these tell it what to do.
const (
	envRoot  = "CTX_TEST_ROOT"
	envSize  = "CTX_TEST_SIZE"
	envTimes = "CTX_TEST_TIMES"
)

const processLog = 300

func TestMain(m *testing.M) {
	root := os.Getenv(envRoot)
	if root == "" {
		os.Exit(m.Run())
	}
	if err := otherProcess(root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// otherProcess replays the log; times more often, each time from the start, if so asked.
func otherProcess(root string) error {
	d, err := Find(root)
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(os.Getenv(envSize))
	if err != nil {
		return err
	}
	times, err := strconv.Atoi(os.Getenv(envTimes))
	if err != nil {
		return err
	}
	log := stream(processLog)
	fmt.Println("begun")
	for range times {
		if times > 1 {
			if err := os.Remove(d.hubPath(stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		m, err := openMirrors(d, &Connection{Types: Types()}, Options{})
		if err != nil {
			return err
		}
		if _, err := replay(m, log, size); err != nil {
			return err
		}
	}
	return nil
}

func process(d *Dir, size, times int) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRoot+"="+d.Root(), envSize+"="+strconv.Itoa(size), envTimes+"="+strconv.Itoa(times),
		"GORACE=atexit_sleep_ms=0") // else the race detector sleeps for a second at the end
	var said bytes.Buffer
	cmd.Stderr = &said
	return cmd, &said
}

func TestRunsAtOnceWriteWhatOneWouldHave(t *testing.T) {
	log := stream(processLog)
	want := undisturbed(log, Types()...)
	for round := range 20 {
		d := newProject(t)
		var group sync.WaitGroup
		for _, size := range []int{3 + round, 11} {
			group.Go(func() {
				if _, err := replay(runOf(t, d, Types()...), log, size); err != nil {
					t.Error(err)
				}
			})
			group.Go(func() {
				cmd, said := process(d, size, 1)
				if err := cmd.Run(); err != nil {
					t.Errorf("%v: %s", err, said)
				}
			})
		}
		group.Wait()
		wantMirrors(t, d, want)
	}
}
