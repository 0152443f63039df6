package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"ctxhub/client"
	"ctxhub/client/project"
)

// here is the project that the working directory belongs to, and its connection.
type here struct {
	dir  *project.Dir
	conn *project.Connection
}

func findHere() (*here, error) {
	dir, err := findProject()
	if err != nil {
		return nil, err
	}
	conn, err := dir.Load()
	if err != nil {
		return nil, err
	}
	return &here{dir, conn}, nil
}

func findProject() (*project.Dir, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the project: %w", err)
	}
	return project.Find(wd)
}

// dial makes the project's client, with what else config says. It does not connect yet.
func (h *here) dial(config client.Config) (*client.Client, error) {
	config.Addresses, config.Token = slices.Concat([]string{h.conn.HubAddr}, h.conn.Peers), h.conn.Token
	if h.conn.CACert != "" {
		config.CACert = []byte(h.conn.CACert)
	}
	c, err := client.New(config)
	return c, h.explain(err)
}

// explain adds to an error which hub it is about.
func (h *here) explain(err error) error {
	if err == nil {
		return nil
	}
	return &advice{err: err, hub: h.conn.HubAddr}
}

// checkTypes refuses what is not a type of entry; the hint has command with the nearest types in its place.
func checkTypes(command string, types []string) error {
	wrong, better := "", make([]string, len(types))
	for i, t := range types {
		better[i] = nearestType(t)
		if better[i] != t && wrong == "" {
			wrong = t
		}
	}
	if wrong == "" {
		return nil
	}
	names := project.Types()
	last := len(names) - 1
	return usage(command+" "+strings.Join(better, " "), "unknown type %.40q: the types are %s and %s", wrong, strings.Join(names[:last], ", "), names[last])
}

// nearestType is the type that a typo most likely stands for.
func nearestType(word string) string {
	return slices.MinFunc(project.Types(), func(a, b string) int {
		return distance(strings.ToLower(word), a) - distance(strings.ToLower(word), b)
	})
}

// distance is Levenshtein's: how many letters must be added, removed or exchanged to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchange := diagonal
			if a[i] != b[j] {
				exchange++
			}
			diagonal = row[j+1]
			row[j+1] = min(exchange, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// cursor is the sequence up to which all mirrors of the subscribed types are complete.
func cursor(state *project.State, types []string) uint64 {
	if len(types) == 0 {
		return 0
	}
	lowest := state.Mirrors[types[0]].LastSequence
	for _, t := range types[1:] {
		lowest = min(lowest, state.Mirrors[t].LastSequence)
	}
	return lowest
}

var errRegistered = errors.New("this project is already registered")
