package cli

import "context"

type hubRotate struct {
	hubFlags
	JSON bool `name:"json" help:"Write JSON."`
}

func (*hubRotate) Help() string {
	return `Sequences go on, nobody is disconnected, and what is in the archive is read as before. A file of the archive that is never to be read again may be moved away while the hub is stopped; readers from before it are then told.

Examples:

    ctx hub rotate
    ctx hub rotate --json`
}

// rotateReport is the JSON form; all is empty if there was nothing to seal.
type rotateReport struct {
	Archive string `json:"archive"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
}

func (c *hubRotate) Run(ctx context.Context, sys *system) error {
	hub, err := c.dial(sys)
	if err != nil {
		return err
	}
	defer hub.Close()
	sealed, err := hub.Rotate(ctx)
	if err != nil {
		return hub.explain(err)
	}
	if c.JSON {
		return sys.json(rotateReport{sealed.GetArchive(), sealed.GetFirst(), sealed.GetLast()})
	}
	if sealed.GetArchive() == "" {
		sys.printf("nothing to seal: no entry came since the last time\n")
		return nil
	}
	sys.printf("sealed entries %s to %s in archive/%s\n", count(sealed.GetFirst()), count(sealed.GetLast()), sealed.GetArchive())
	return nil
}
