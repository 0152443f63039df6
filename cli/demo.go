package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

type demo struct{}

func (*demo) Help() string {
	return `Nothing is needed beforehand and nothing is left behind: all of it is in a temporary directory.

Example:

    ctx demo`
}

const (
	firstEntry  = "Use UTC everywhere"
	secondEntry = "Keep what was acknowledged"
)

func (c *demo) Run(ctx context.Context, sys *system) (err error) {
	s, err := newStage(sys)
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, s.clear()) }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sys.printf("Two projects share what they know through a hub, in %s (as ~ below).\n", s.home)
	for _, act := range []func(context.Context) error{s.join, s.share, s.kill, s.shareAgain, s.stop} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	sys.printf("\nAll of it was real, and all of it is cleaned up. To go on:\n")
	sys.printf("  ctx hub start --daemon\n  %s\n  %s\n",
		"ctx connection register localhost:9900 --token-file ~/.ctx/hub-data/admin.token", subscribeAll)
	return nil
}

func (s *stage) join(ctx context.Context) error {
	s.title("A hub, and two projects that join it")
	if err := s.startHub(ctx); err != nil {
		return err
	}
	token := filepath.Join(s.dataDir(), "admin.token")
	for _, project := range []string{"api", "web"} {
		if err := s.show(ctx, project, "connection", "register", s.address(), "--token-file", token); err != nil {
			return err
		}
		if err := s.show(ctx, project, "connection", "subscribe", "decision"); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) share(ctx context.Context) error {
	s.title("What api publishes arrives in web's files while web listens")
	var err error
	if s.listener, err = s.begin("web", "connection", "listen"); err != nil {
		return err
	}
	if err := s.listener.await(ctx, "level with the hub"); err != nil {
		return err
	}
	return s.publish(ctx, firstEntry)
}

func (s *stage) kill(ctx context.Context) error {
	s.title("The hub is killed without a warning, and started again")
	if err := s.killHub(ctx); err != nil {
		return err
	}
	return s.startHub(ctx)
}

func (s *stage) shareAgain(ctx context.Context) error {
	s.title("Nothing is missing and nothing is there twice; web has been listening all along")
	if err := s.publish(ctx, secondEntry); err != nil {
		return err
	}
	// A sync would bring what the listener has missed, and shows that there is no such thing.
	if err := s.show(ctx, "web", "connection", "sync"); err != nil {
		return err
	}
	return s.proveMirror(ctx)
}

// publish publishes an entry in api and waits until it is in web's mirror.
func (s *stage) publish(ctx context.Context, text string) error {
	if err := s.show(ctx, "api", "connection", "publish", "decision", text); err != nil {
		return err
	}
	s.expected = append(s.expected, text)
	return s.proveMirror(ctx)
}

// proveMirror shows the headings in web's mirror once all that was published is there, each once.
func (s *stage) proveMirror(ctx context.Context) error {
	headings, err := s.awaitMirror(ctx, "web")
	if err != nil {
		return err
	}
	s.prompt("web", "grep '^## ' .context/hub/decisions.md")
	for _, heading := range headings {
		s.sys.printf("    %s\n", heading)
	}
	verdict := fmt.Sprintf("✓ %s published, %s here, each exactly once", count(len(s.expected)), count(len(headings)))
	s.sys.printf("    %s\n", s.sys.paint(s.sys.outTerm, "32", verdict))
	return nil
}

func (s *stage) stop(ctx context.Context) error {
	if s.foregroundHub() {
		return nil // it cannot be asked to stop from outside; clear ends it
	}
	s.title("And out")
	return s.show(ctx, "", "hub", "stop")
}
