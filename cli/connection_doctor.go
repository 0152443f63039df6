package cli

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"time"

	"ctxhub/client"
	"ctxhub/client/project"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

type connectionDoctor struct {
	Idle time.Duration `placeholder:"TIME" help:"Keep an idle stream open for so long, to see whether something on the way cuts it."`
	JSON bool          `name:"json" help:"Write JSON."`
}

func (*connectionDoctor) Help() string {
	return `Looks at everything between this project and its hub: the files here, the name, the way, the certificate, proxies, the token, the clocks. It changes nothing. By default it takes a few seconds; behind a proxy it waits for a heartbeat of the hub, which takes ten.

Exits with 0 if there is no problem (there may be warnings), with 8 if the only problem is that the hub cannot be reached, with 4 if it is the token or the key, and otherwise with 1.

Examples:

    ctx connection doctor
    ctx connection doctor --idle 75s
    ctx connection doctor --json`
}

// patient is what the checks of a connection know together.
type patient struct {
	idle time.Duration

	dir   *project.Dir
	conn  *project.Connection
	state *project.State

	way       // how the hub is reached
	streaming // an open Listen
}

func (c *connectionDoctor) Run(ctx context.Context, sys *system) error {
	if c.Idle < 0 {
		return usage("ctx connection doctor --idle 75s", "--idle is a time from now on, not %s", c.Idle)
	}
	p := &patient{idle: c.Idle}
	defer p.close()
	return examine(ctx, sys, c.JSON, p, connectionChecks)
}

var connectionChecks = []check[patient]{
	{"project", "", (*patient).lookForProject},
	{"registration", "project", (*patient).lookForRegistration},
	{"key file", "registration", (*patient).lookAtKey},
	{"sealed connection", "key file", (*patient).openConnection},
	{"mirrors", "sealed connection", (*patient).lookAtMirrors},
	{"name", "sealed connection", (*patient).resolveName},
	{"TCP", "name", (*patient).connectTCP},
	{"TLS", "TCP", (*patient).lookAtTLS},
	{"hub", "TLS", (*patient).lookForHub},
	{"HTTP/2", "hub", (*patient).lookAtHTTP2},
	{"token", "HTTP/2", (*patient).lookAtToken},
	{"peers", "sealed connection", (*patient).askPeers},
	{"takes entries", "token", (*patient).lookAtHealth},
	{"round trip", "token", (*patient).lookAtRoundTrip},
	{"clock", "token", (*patient).compareClocks},
	{"synced", "token", (*patient).compareHeads},
	{"request size", "token", (*patient).sendLargeRequest},
	{"first message", "token", (*patient).awaitFirstMessage},
	{"idle stream", "first message", (*patient).stayIdle},
}

func (p *patient) lookForProject(context.Context) finding {
	var err error
	if p.dir, err = findProject(); err != nil {
		return broken(err)
	}
	return fine("%s", p.dir.Root())
}

func (p *patient) lookForRegistration(context.Context) finding {
	if !p.dir.Registered() {
		return broken(project.ErrNotRegistered)
	}
	return fine("there is a sealed connection in .context")
}

func (p *patient) lookAtKey(context.Context) finding {
	path, err := project.CheckKey()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return broken(project.ErrKeyMissing)
	case err != nil:
		return broken(err)
	case runtime.GOOS == "windows":
		return fine("%s, 32 bytes", path)
	}
	return fine("%s, 32 bytes, closed to other users", path)
}

func (p *patient) openConnection(context.Context) finding {
	var err error
	if p.conn, err = p.dir.Load(); err != nil {
		return broken(err)
	}
	if len(p.conn.Types) == 0 {
		return doubt(subscribeAll, "%s at %s, subscribed to nothing", p.conn.Project, p.conn.HubAddr)
	}
	return fine("%s at %s, subscribed to %s", p.conn.Project, p.conn.HubAddr, strings.Join(p.conn.Types, ", "))
}

func (p *patient) lookAtMirrors(ctx context.Context) finding {
	if len(p.conn.Types) == 0 {
		return unseen("subscribed to nothing")
	}
	state, anew, err := project.Inspect(ctx, p.dir, p.conn)
	if err != nil {
		return broken(err)
	}
	p.state = state
	switch {
	case len(anew) > 0:
		return doubt("ctx connection sync", "%s", strings.Join(anew, "; "))
	case state.LastSuccess.IsZero():
		return doubt("ctx connection sync", "there are none yet")
	}
	return fine("as the sync state says, %s", ago(time.Now(), state.LastSuccess))
}

// compareHeads says how far the mirrors are behind. A project that is synced now and then is always a little behind,
// which is nothing to warn of.
func (p *patient) compareHeads(context.Context) finding {
	const often = 24 * time.Hour
	if p.state == nil || len(p.conn.Types) == 0 {
		return unseen("there are no mirrors to compare with")
	}
	at, head := cursor(p.state, p.conn.Types), p.status.GetHead()
	switch {
	case p.state.HubID != "" && p.state.HubID != p.status.GetHubId():
		return doubt("ctx connection sync", "the mirrors are of another hub than the one that answers: the next sync builds them anew")
	case at > head:
		return doubt("ctx connection sync", "sequence %s, the hub has %s: it was restored or replaced", count(at), count(head))
	case at < head && time.Since(p.state.LastSuccess) > often:
		return doubt("ctx connection sync", "sequence %s of %s, last sync %s", count(at), count(head), ago(time.Now(), p.state.LastSuccess))
	case at < head:
		return fine("sequence %s of %s, %s behind", count(at), count(head), count(head-at))
	}
	return fine("sequence %s of %s", count(at), count(head))
}

func (p *patient) lookAtHealth(context.Context) finding {
	if why := p.status.GetDegraded(); why != "" {
		return wrong(lookAtHub, "no: %s", why)
	}
	return fine("yes")
}

func (p *patient) lookAtToken(context.Context) finding {
	switch mine, known := p.conn.Project, p.status.GetProject(); {
	case isDenied(p.refused):
		return broken((&here{p.dir, p.conn}).explain(p.refused)).code(exitAuth)
	case p.refused != nil:
		return broken((&here{p.dir, p.conn}).explain(p.refused))
	case mine != "" && known != "" && mine != known:
		return doubt(registerAgain, "good, but the hub knows this project as %s, and here it is %s", known, mine)
	}
	return fine("good, for %s", p.status.GetProject())
}

// askPeers asks each of the other addresses. They are for when the first one fails, so that it is a warning if one
// of them does, and a problem if it is another hub.
func (p *patient) askPeers(ctx context.Context) finding {
	if len(p.conn.Peers) == 0 {
		return fine("none are named")
	}
	var bad []string
	for _, peer := range p.conn.Peers {
		status, err := p.askPeer(ctx, peer)
		switch {
		case err != nil:
			bad = append(bad, peer+": "+explain(err).Error)
		case p.status != nil && status.GetHubId() != p.status.GetHubId():
			return wrong(registerAgain+" --peers, with addresses of one hub only", "%s is another hub than %s", peer, p.conn.HubAddr)
		}
	}
	if len(bad) > 0 {
		return doubt(lookAtHub, "%s", strings.Join(bad, "; "))
	}
	return fine("%s, the same hub", plural(len(p.conn.Peers), "other address", "other addresses"))
}

func (p *patient) askPeer(ctx context.Context, address string) (*hubv1.StatusResponse, error) {
	c, err := p.dial(client.Config{Addresses: []string{address}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Status(ctx)
}

// dial makes a client that tries once, for the project's first address unless config has others.
func (p *patient) dial(config client.Config) (*client.Client, error) {
	if config.Addresses == nil {
		config.Addresses = []string{p.conn.HubAddr}
	}
	if config.Timeout == 0 {
		config.Timeout = statusTimeout
	}
	config.Token, config.RetryFor = p.conn.Token, -1
	if p.conn.CACert != "" {
		config.CACert = []byte(p.conn.CACert)
	}
	return client.New(config)
}
