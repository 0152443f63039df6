package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTheUnitIsWhatSystemdTakes has systemd check both units, and how much they give away.
func TestTheUnitIsWhatSystemdTakes(t *testing.T) {
	t.Parallel()
	analyze := need(t, "systemd-analyze")
	for _, c := range []struct {
		name  string
		flags []string
		// Exposure to what a service could do to its machine, in tenths, from 0 to 100. A user's own systemd cannot make
		// mounts, which is most of what is counted.
		threshold string
	}{
		{"system", nil, "25"},
		{"user", []string{"--user"}, "75"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorkstation(t, "x")
			unit := filepath.Join(w.home, "ctx-hub.service")
			data := filepath.Join(w.home, "hub data")
			check(t, os.Mkdir(data, 0o700))
			args := append([]string{"hub", "install-service", "--print", "--data-dir", data}, c.flags...)
			check(t, os.WriteFile(unit, []byte(w.ctx(args...)), 0o600))
			for _, args := range [][]string{
				append(c.flags, "verify", unit),
				{"security", "--offline=true", "--no-pager", "--threshold=" + c.threshold, unit},
			} {
				cmd := exec.Command(analyze, args...)
				cmd.Env = append(cleanEnv(w.home), "XDG_RUNTIME_DIR="+w.home)
				said, err := cmd.CombinedOutput()
				if err != nil || args[0] != "security" && len(said) > 0 {
					t.Errorf("systemd-analyze %q: %v\n%s", args, err, said)
				}
			}
		})
	}
}
