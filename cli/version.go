package cli

import (
	"runtime"
	"runtime/debug"
)

// Version is set when a release is linked: -ldflags "-X ctxhub/cli.Version=v1.2.3".
var Version string

type version struct {
	JSON bool `name:"json" help:"Write JSON."`
}

func (*version) Help() string {
	return `Example:

    ctx version`
}

func (c *version) Run(sys *system) error {
	if c.JSON {
		return sys.json(map[string]string{"version": versionLine(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	sys.printf("ctx %s (%s, %s/%s)\n", versionLine(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// versionLine is the release, or what go install knows of the module, or "devel" with the commit.
func versionLine() string {
	if Version != "" {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return "devel-" + setting.Value[:12]
		}
	}
	return "devel"
}
