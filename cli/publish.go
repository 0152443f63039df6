package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

type publish struct {
	Type        string  `arg:"" help:"decision, learning, convention or task."`
	Text        *string `arg:"" optional:"" help:"The entry, in Markdown, at most 1 MiB; - reads it from standard input."`
	File        string  `placeholder:"FILE" help:"Read the entry from a file."`
	ID          string  `name:"id" placeholder:"ID" help:"The id that an earlier try was given: the same id is stored once."`
	JSON        bool    `name:"json" help:"Write JSON."`
	DisplayName string  `placeholder:"NAME" help:"Who says it."`
	Tool        string  `placeholder:"NAME" help:"The program that wrote it, such as an agent's name."`
	Via         string  `placeholder:"NAME" help:"The road it took, such as a hook."`
}

func (*publish) Help() string {
	return `Prints the entry's sequence once the hub has it on stable storage. It is noted in .context/hub/.published.jsonl, to be published again if the hub ever loses it.

Examples:

    ctx connection publish decision "Use UTC everywhere"
    ctx connection publish learning --file notes.md --display-name Ada
    git log -1 --format=%B | ctx connection publish decision -`
}

type published struct {
	ID       string `json:"id"`
	Sequence uint64 `json:"sequence"`
	Type     string `json:"type"`
}

func (c *publish) Run(ctx context.Context, sys *system) error {
	if err := checkTypes("ctx connection publish", []string{c.Type}); err != nil {
		return err
	}
	h, err := findHere()
	if err != nil {
		return err
	}
	content, err := c.content(sys)
	if err != nil {
		return err
	}
	hub, err := h.dial(client.Config{})
	if err != nil {
		return err
	}
	defer hub.Close()
	entry := &hubv1.NewEntry{Id: c.ID, Type: c.Type, Content: content, Meta: c.meta()}
	if entry.Id == "" {
		entry.Id = client.NewID()
	}
	sequences, err := hub.Publish(ctx, entry)
	if err != nil {
		return h.explain(c.explain(entry.GetId(), err))
	}
	if err := h.dir.Note(ctx, h.conn, entry, sequences[0]); err != nil {
		sys.warn("it is published, but if the hub ever loses it, this project cannot publish it again by itself: %s", sentence(err))
	}
	p := published{entry.GetId(), sequences[0], c.Type}
	if c.JSON {
		return sys.json(p)
	}
	sys.printf("published %s %s\n", p.Type, count(p.Sequence))
	sys.rows([2]string{"id", p.ID})
	return nil
}

func (c *publish) content(sys *system) (string, error) {
	switch {
	case c.Text != nil && c.File != "":
		return "", usage("ctx connection publish --help", "an entry is either on the command line or in a file, not both")
	case c.File == "-" || c.Text != nil && *c.Text == "-":
		return readContent(sys.in)
	case c.File != "":
		f, err := openNamed("entry", c.File)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return readContent(f)
	case c.Text == nil:
		return "", usage("ctx connection publish --help", "there is no text to publish")
	}
	return checkSize(*c.Text)
}

// readContent reads one byte more than the limit, to tell what is too large without reading it all.
func readContent(r io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(r, client.MaxContentBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the entry: %w", err)
	}
	return checkSize(string(content))
}

func checkSize(content string) (string, error) {
	if len(content) > client.MaxContentBytes {
		return "", usage("split it into several entries: ctx connection publish --help", "the content is larger than 1 MiB (%s bytes)", count(client.MaxContentBytes))
	}
	return content, nil
}

func (c *publish) meta() *hubv1.Meta {
	host, err := os.Hostname()
	if err != nil {
		host = "" // it is only reported
	}
	return &hubv1.Meta{DisplayName: c.DisplayName, Host: host, Tool: c.Tool, Via: c.Via}
}

// explain tells how to find out whether the entry was stored, where that is not known.
func (c *publish) explain(id string, err error) error {
	if !isUnsettled(err) {
		return err
	}
	return &advice{err: err, hint: "publish it again with --id " + id + ": it is stored once, whatever happened; " + lookAtHub}
}
