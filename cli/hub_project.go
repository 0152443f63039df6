package cli

import (
	"context"
	"time"
)

type projectList struct {
	hubFlags
	JSON bool `name:"json" help:"Write JSON."`
}

func (*projectList) Help() string {
	return `Examples:

    ctx hub project list
    ctx hub project list --json
    ctx hub project list --hub nexus.local:9900 --token-file admin.token`
}

type projectReport struct {
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at"` // null while the token is good
}

func (c *projectList) Run(ctx context.Context, sys *system) error {
	hub, err := c.dial(sys)
	if err != nil {
		return err
	}
	defer hub.Close()
	projects, err := hub.ListProjects(ctx)
	if err != nil {
		return hub.explain(err)
	}
	list := make([]projectReport, len(projects))
	for i, p := range projects {
		list[i] = projectReport{Name: p.GetName(), CreatedAt: p.GetCreatedAt().AsTime()}
		if p.GetRevokedAt() != nil {
			at := p.GetRevokedAt().AsTime()
			list[i].RevokedAt = &at
		}
	}
	if c.JSON {
		return sys.json(list)
	}
	printProjects(sys, hub.address, list)
	return nil
}

func printProjects(sys *system, address string, list []projectReport) {
	sys.printf("%s at %s\n", plural(len(list), "project", "projects"), address)
	var pairs [][2]string
	for _, p := range list {
		state := "since " + p.CreatedAt.Local().Format(time.DateOnly)
		if p.RevokedAt != nil {
			state = "revoked " + p.RevokedAt.Local().Format(time.DateOnly)
		}
		pairs = append(pairs, [2]string{oneLine(p.Name), state})
	}
	sys.rows(pairs...)
	if len(list) == 0 {
		sys.next("Next, in a project's directory", registerCommand(address))
	}
}

type projectRevoke struct {
	hubFlags
	Name string `arg:"" help:"The project's name, as in ctx hub project list."`
}

func (*projectRevoke) Help() string {
	return `Its token stops at once and its open streams end within a second. What it has published stays. The name is free for a new register.

Example:

    ctx hub project revoke api@laptop`
}

func (c *projectRevoke) Run(ctx context.Context, sys *system) error {
	hub, err := c.dial(sys)
	if err != nil {
		return err
	}
	defer hub.Close()
	if err := hub.Revoke(ctx, c.Name); err != nil {
		if isUnknown(err) {
			err = &advice{err: err, hint: c.command("ctx hub project list")}
		}
		return hub.explain(err)
	}
	sys.printf("revoked %s at %s\n", oneLine(c.Name), hub.address)
	sys.next("To let it in again, in its directory", registerCommand(hub.address)+" --force")
	return nil
}
