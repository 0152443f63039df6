package cli

import (
	"slices"
	"strings"

	"ctxhub/client/project"
)

type subscribe struct {
	Types []string `arg:"" name:"type" help:"decision, learning, convention or task; replaces the types chosen before."`
}

func (*subscribe) Help() string {
	return `A type that is new brings its whole history with the next sync. A type that is left out stops arriving.

Examples:

    ctx connection subscribe decision learning convention
    ctx connection subscribe decision`
}

func (c *subscribe) Run(sys *system) error {
	if err := checkTypes("ctx connection subscribe", c.Types); err != nil {
		return err
	}
	h, err := findHere()
	if err != nil {
		return err
	}
	before := h.conn.Types
	h.conn.Types = chosen(c.Types)
	if err := h.dir.Save(h.conn); err != nil {
		return err
	}
	sys.printf("subscribed to %s\n", strings.Join(h.conn.Types, ", "))
	added, removed := without(h.conn.Types, before), without(before, h.conn.Types)
	if len(added) > 0 {
		sys.rows([2]string{"new", strings.Join(added, ", ") + ": the next sync brings all there is"})
	}
	if len(removed) > 0 {
		sys.rows([2]string{"left out", strings.Join(removed, ", ") + ": nothing new arrives"})
	}
	sys.next("Next", "ctx connection sync", "ctx connection listen")
	return nil
}

// chosen puts types in the order in which they are always shown, each once.
func chosen(types []string) []string {
	return slices.DeleteFunc(project.Types(), func(t string) bool { return !slices.Contains(types, t) })
}

func without(list, remove []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(t string) bool { return slices.Contains(remove, t) })
}
