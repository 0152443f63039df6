package cli

import "github.com/alecthomas/kong"

// grammar is all that can be typed.
type grammar struct {
	Hub struct {
		Start   hubStart   `cmd:"" help:"Start a hub on this machine."`
		Stop    hubStop    `cmd:"" help:"Drain and stop the hub that runs on this machine."`
		Status  hubStatus  `cmd:"" help:"Show how a hub is."`
		Doctor  hubDoctor  `cmd:"" help:"Look at everything that a hub on this machine depends on."`
		Bench   hubBench   `cmd:"" help:"Measure publish, sync and listen against the disk's own limit."`
		Backup  hubBackup  `cmd:"" help:"Write all that a hub holds to a file, while it serves."`
		Restore hubRestore `cmd:"" help:"Make a data directory what it was when a backup was taken."`
		Rotate  hubRotate  `cmd:"" help:"Seal the log so far into the archive and go on with an empty file."`
		Verify  hubVerify  `cmd:"" help:"Check every byte of a data directory."`
		Repair  hubRepair  `cmd:"" help:"Make a damaged data directory one that opens again."`
		Project struct {
			List   projectList   `cmd:"" help:"List the projects registered with a hub."`
			Revoke projectRevoke `cmd:"" help:"Make a project's token worthless. Its entries stay."`
		} `cmd:"" help:"Who may use a hub."`
		InstallService installService `cmd:"" help:"Let systemd run the hub."`
	} `cmd:"" help:"Run a hub."`

	Connection struct {
		Register  register         `cmd:"" help:"Join this project to a hub."`
		Subscribe subscribe        `cmd:"" help:"Choose which types of entry this project gets."`
		Publish   publish          `cmd:"" help:"Publish an entry to the hub."`
		Sync      syncMirror       `cmd:"" help:"Bring the mirror in .context/hub to the hub's head."`
		Listen    listen           `cmd:"" help:"Keep the mirror in .context/hub at the hub's head."`
		Status    connectionStatus `cmd:"" help:"Show this project's connection and what is wrong with it."`
		Doctor    connectionDoctor `cmd:"" help:"Look at everything between this project and its hub."`
	} `cmd:"" help:"Connect this project with a hub."`

	Demo       demo       `cmd:"" help:"Show a hub and two projects at work, and clean up."`
	Version    version    `cmd:"" help:"Show the version."`
	Completion completion `cmd:"" help:"Write a shell's completion script."`

	ShowVersion kong.VersionFlag `name:"version" help:"Show the version."`
}
