package cli

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
)

type installService struct {
	dataDir
	serveFlags
	User  bool   `help:"A service of your own instead of the system's; needs no root."`
	RunAs string `placeholder:"NAME" help:"The user that the system's service runs as (whoever runs this, also through sudo)."`
	Print bool   `help:"Write the unit to standard output and change nothing."`
}

func (*installService) Help() string {
	return `Takes the flags of ctx hub start. A hub that ran with --daemon goes on with its data when it is stopped first.

Examples:

    ctx hub install-service --print
    sudo ctx hub install-service --bind 192.168.1.20
    ctx hub install-service --user`
}

const unitName = "ctx-hub.service"

func (c *installService) Run(sys *system) error {
	u, err := c.unit(sys)
	if err != nil {
		return err
	}
	if c.Print {
		sys.printf("%s", u.text())
		return nil
	}
	if runtime.GOOS != "linux" {
		return usage("ctx hub install-service --print", "there is no systemd on %s", runtime.GOOS)
	}
	file, err := c.file()
	if err != nil {
		return err
	}
	if err := u.makeDataDir(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // systemd's own mode
		return c.cannotWrite(err)
	}
	if err := os.WriteFile(file, []byte(u.text()), 0o644); err != nil { //nolint:gosec // a unit has no secret
		return c.cannotWrite(err)
	}
	c.report(sys, file)
	return nil
}

func (c *installService) cannotWrite(err error) error {
	a := &advice{err: fmt.Errorf("write the unit: %w", err)}
	if !c.User {
		a.hint = "sudo ctx hub install-service, or without root: ctx hub install-service --user"
	}
	return a
}

func (c *installService) report(sys *system, file string) {
	systemctl, journal := "sudo systemctl", "journalctl -u"
	if c.User {
		systemctl, journal = "systemctl --user", "journalctl --user -u"
	}
	sys.printf("wrote %s\n", file)
	commands := []string{systemctl + " daemon-reload", systemctl + " enable --now " + unitName, journal + " " + unitName}
	if c.User {
		commands = append(commands, "loginctl enable-linger  # to run it while you are logged out")
	}
	sys.next("Next", commands...)
}

func (c *installService) file() (string, error) {
	if !c.User {
		return filepath.Join("/etc/systemd/system", unitName), nil
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the directory for units: %w", err)
	}
	return filepath.Join(config, "systemd", "user", unitName), nil
}

// unit resolves all that depends on who runs this and where.
func (c *installService) unit(sys *system) (*unit, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if strings.Contains(self, "go-build") {
		sys.warn("%s is a temporary file of go run: install ctx first", self)
	}
	u := &unit{}
	if u.dataDir, err = c.path(); err != nil {
		return nil, err
	}
	if !c.User {
		named := c.runAs(sys)
		if u.owner, err = lookUpUser(named); err != nil {
			return nil, err
		}
		if named != "" && c.DataDir == defaultDataDir {
			u.dataDir = filepath.Join(u.owner.HomeDir, ".ctx", "hub-data")
		}
	}
	u.command, err = c.commandLine(self, u.dataDir)
	return u, err
}

// runAs is the name of the user to run as; empty for whoever runs this.
func (c *installService) runAs(sys *system) string {
	if c.RunAs != "" {
		return c.RunAs
	}
	return sys.env("SUDO_USER")
}

func lookUpUser(name string) (*user.User, error) {
	if name == "" {
		return user.Current()
	}
	owner, err := user.Lookup(name)
	if err != nil {
		return nil, &advice{err: err, exit: exitUsage, hint: "ctx hub install-service --run-as NAME"}
	}
	return owner, nil
}

// commandLine is ctx hub start with all flags written out, so that the unit says what the service does.
func (c *installService) commandLine(self, dir string) ([]string, error) {
	flags, err := c.words()
	return append([]string{self, "hub", "start", "--data-dir", dir}, flags...), err
}
