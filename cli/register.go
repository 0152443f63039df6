package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctxhub/client"
	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

type register struct {
	Hub string `arg:"" name:"host:port" help:"The hub's address: host:port, http://, https://, grpc:// or grpcs://. A bare host:443 means TLS."`
	tokenFlags
	Project string   `placeholder:"NAME" help:"Name of this project on the hub (the directory's name)."`
	Force   bool     `help:"Register again and replace the token."`
	Peers   []string `placeholder:"HOST:PORT,..." help:"Other addresses of the same hub, tried when the first fails."`
	CACert  string   `name:"ca-cert" placeholder:"FILE" help:"Trust this authority's certificate, in PEM form."`
}

func (*register) Help() string {
	return `Exchanges the admin token for a token of this project's own, which is kept sealed in .context/.connect.enc. The admin token is not kept. Makes .context in this directory if neither it nor one above has one.

Examples:

    ctx connection register nexus.local:9900 --token -
    ssh nexus cat .ctx/hub-data/admin.token | ctx connection register nexus.local:9900 --token -
    ctx connection register https://hub.example.com --token-file admin.token --project api@laptop`
}

func (c *register) Run(ctx context.Context, sys *system) (err error) {
	dir, made, err := c.project()
	if err != nil {
		return err
	}
	if made != "" {
		defer func() {
			if err != nil {
				_ = os.Remove(made) // only what is still empty; the error that matters is err
			}
		}()
	}
	old, err := c.earlier(sys, dir)
	if err != nil {
		return err
	}
	conn, err := c.connection(dir, old)
	if err != nil {
		return err
	}
	config := client.Config{Addresses: slices.Concat([]string{c.Hub}, c.Peers)}
	if conn.CACert != "" {
		config.CACert = []byte(conn.CACert)
	}
	config.Token, err = c.read(sys)
	if errors.Is(err, errNoToken) {
		return &advice{err: err, exit: exitAuth, hint: "on the hub's host: cat ~/.ctx/hub-data/admin.token; then here: " + registerCommand(c.Hub)}
	}
	if err != nil {
		return err
	}
	hub, err := client.New(config)
	if err != nil {
		return c.explain(conn, &advice{err: err, hint: "ctx connection register --help", exit: exitUsage})
	}
	defer hub.Close()
	// All that can fail here fails before the hub is asked, so that a name is never taken and then lost.
	if err := dir.Prepare(); err != nil {
		return err
	}
	request := &hubv1.RegisterRequest{Project: conn.Project}
	if old.Project == conn.Project && sameHosts(old, conn) {
		request.CurrentToken = old.Token
	}
	answer, err := hub.Register(ctx, request)
	if err != nil {
		return c.explain(conn, err)
	}
	conn.Project, conn.Token, conn.HubID = answer.GetProject(), answer.GetToken(), answer.GetHubId()
	if err := dir.Save(conn); err != nil {
		return &advice{err: err, hint: "on the hub's host: ctx hub project revoke " + shellWord(conn.Project) + "; then register again"}
	}
	if made != "" {
		sys.printf("made %s\n", made)
	}
	printRegistered(sys, dir, conn)
	return nil
}

// project is the directory's project. If there is none, it is made here, and made says which directory that was.
func (c *register) project() (dir *project.Dir, made string, err error) {
	dir, err = findProject()
	if !errors.Is(err, project.ErrNoContext) {
		return dir, "", err
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, "", fmt.Errorf("find the project: %w", err)
	}
	if dir, err = project.Create(wd); err != nil {
		return nil, "", err
	}
	return dir, filepath.Join(dir.Root(), ".context"), nil
}

// earlier is the connection there is, and empty if there is none or it cannot be opened; without --force there
// must not be one.
func (c *register) earlier(sys *system, dir *project.Dir) (*project.Connection, error) {
	if !dir.Registered() {
		return &project.Connection{}, nil
	}
	if !c.Force {
		return nil, &advice{err: errRegistered, exit: exitConflict,
			hint: "ctx connection status; to replace it: " + registerCommand(c.Hub) + " --force"}
	}
	old, err := dir.Load()
	if err != nil {
		sys.warn("the earlier connection is given up: %s", sentence(err))
		return &project.Connection{}, nil
	}
	return old, nil
}

// connection is what will be stored, but for what the hub has to say.
func (c *register) connection(dir *project.Dir, old *project.Connection) (*project.Connection, error) {
	address, err := client.ParseAddress(c.Hub)
	if err != nil {
		return nil, err
	}
	conn := &project.Connection{
		HubAddr: typedAddress(address.String()), Types: old.Types,
		Project: cmp.Or(c.Project, old.Project, dir.Name()),
	}
	for _, text := range c.Peers {
		peer, err := client.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		conn.Peers = append(conn.Peers, typedAddress(peer.String()))
	}
	pem, err := readCert(c.CACert)
	conn.CACert = string(pem)
	return conn, err
}

// sameHosts says whether a token that is good at old's hosts may be shown to all of conn's: only to hosts that have
// seen it, and not in plaintext where it came by TLS.
func sameHosts(old, conn *project.Connection) bool {
	known := map[string]bool{} // host → by TLS
	for _, text := range slices.Concat([]string{old.HubAddr}, old.Peers) {
		if a, err := client.ParseAddress(text); err == nil {
			known[a.Host] = a.TLS
		}
	}
	for _, text := range slices.Concat([]string{conn.HubAddr}, conn.Peers) {
		a, err := client.ParseAddress(text)
		if byTLS, ok := known[a.Host]; err != nil || !ok || byTLS && !a.TLS {
			return false
		}
	}
	return true
}

// explain knows what an error means for this command.
func (c *register) explain(conn *project.Connection, err error) error {
	again := registerCommand(conn.HubAddr)
	if c.Force {
		again += " --force"
	}
	a := &advice{err: err, hub: conn.HubAddr, fresh: !c.Force}
	switch {
	case isTaken(err):
		a.hint = again + " --project " + shellWord(conn.Project+"@"+hostName())
	case isDenied(err):
		a.hint = "this needs the admin token; on the hub's host: cat ~/.ctx/hub-data/admin.token"
	case isMalformed(err):
		a.hint = again + " --project NAME"
	case isUnsettled(err):
		a.hint = again + "; if the name is taken then, on the hub's host: ctx hub project revoke " + shellWord(conn.Project)
	}
	return a
}

// hostName is this machine's name without its domain.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "HOSTNAME"
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}

func printRegistered(sys *system, dir *project.Dir, conn *project.Connection) {
	sys.printf("registered %s with the hub at %s\n", conn.Project, strings.Join(slices.Concat([]string{conn.HubAddr}, conn.Peers), " or "))
	sys.rows([2]string{"token", "sealed in " + filepath.Join(dir.Root(), ".context", ".connect.enc")},
		[2]string{"types", strings.Join(conn.Types, ", ")})
	if len(conn.Types) > 0 {
		sys.next("Next", "ctx connection sync")
		return
	}
	sys.next("Next", subscribeAll)
}
