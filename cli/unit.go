package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// unit is a systemd service that runs a hub.
type unit struct {
	command []string   // program and arguments
	dataDir string     // absolute
	owner   *user.User // nil in a unit of a user's own
}

const unitHead = `# Written by ctx hub install-service. The data directory must exist and belong to the service's user.
[Unit]
Description=ctx Hub, shared knowledge of projects
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart=%s
Restart=on-failure
RestartSec=2
# Bad flags do not get better by trying again.
RestartPreventExitStatus=2
# A hub reads its whole log before it answers.
TimeoutStartSec=10min
TimeoutStopSec=30
WatchdogSec=60
LimitNOFILE=65536
UMask=0077
`

// hardening works for any user.
const hardening = `NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
`

// systemHardening needs root's systemd: it makes mounts and drops capabilities.
const systemHardening = `CapabilityBoundingSet=%s
AmbientCapabilities=%s
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=%s
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RemoveIPC=yes
`

func (u *unit) text() string {
	words := make([]string, len(u.command))
	for i, word := range u.command {
		words[i] = systemdWord(word)
	}
	var b strings.Builder
	fmt.Fprintf(&b, unitHead, strings.Join(words, " "))
	if u.owner == nil {
		b.WriteString(hardening + "\n[Install]\nWantedBy=default.target\n")
		return b.String()
	}
	fmt.Fprintf(&b, "User=%s\n%s", strings.ReplaceAll(u.owner.Username, "%", "%%"), hardening)
	capability := ""
	if u.privilegedPort() {
		capability = "CAP_NET_BIND_SERVICE"
	}
	fmt.Fprintf(&b, systemHardening, capability, capability, systemdPath(u.dataDir))
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

func (u *unit) privilegedPort() bool {
	for i, word := range u.command[1:] {
		if u.command[i] == "--port" {
			port, err := strconv.Atoi(word)
			return err == nil && port > 0 && port < 1024
		}
	}
	return false
}

// makeDataDir makes the directory, which systemd wants to find, and gives it to the service's user.
func (u *unit) makeDataDir() error {
	_, err := os.Stat(u.dataDir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The user's own ~/.ctx may have to be made too, and must not become root's.
	var made []string
	for dir := u.dataDir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(u.dataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if u.owner == nil || os.Geteuid() != 0 {
		return nil
	}
	uid, err1 := strconv.Atoi(u.owner.Uid)
	gid, err2 := strconv.Atoi(u.owner.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	for _, dir := range made {
		if err := os.Chown(dir, uid, gid); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
	}
	return nil
}

// systemdWord quotes one argument of ExecStart: percent signs are specifiers, dollars variables, and quotes,
// backslashes and spaces what they are in a shell.
func systemdWord(word string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`, "\n", `\n`, "\t", `\t`).Replace(word)
	if escaped == word && word != "" && !strings.ContainsAny(word, " ';") {
		return word
	}
	return `"` + escaped + `"`
}

// systemdPath quotes a path of a list, where dollars have no meaning.
func systemdPath(path string) string {
	return strings.ReplaceAll(systemdWord(path), "$$", "$")
}
