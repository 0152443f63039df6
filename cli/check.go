package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// check is one thing that a doctor looks at. S is what the checks of one doctor know together: a check may use
// what those before it found out.
type check[S any] struct {
	name  string
	needs string                                  // without this one's success, or doubt, there is nothing to look at
	look  func(s *S, ctx context.Context) finding // as a method of S is
}

// verdict is what a check comes to.
type verdict string

const (
	verdictOK      verdict = "ok"
	verdictWarning verdict = "warning"
	verdictProblem verdict = "problem"
	verdictUnseen  verdict = "not checked"
)

// finding is what a check saw, what that means, and what to do about it.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Seen    string  `json:"seen"` // why it was not checked, if it was not
	Next    string  `json:"next"` // the next command to type; empty where there is nothing to do
	exit    int
}

// fine is a finding that needs nothing.
func fine(format string, args ...any) finding {
	return finding{Verdict: verdictOK, Seen: fmt.Sprintf(format, args...)}
}

// doubt is what works today and may not tomorrow.
func doubt(next, format string, args ...any) finding {
	return finding{Verdict: verdictWarning, Seen: fmt.Sprintf(format, args...), Next: next}
}

// wrong is what has to be put right.
func wrong(next, format string, args ...any) finding {
	return finding{Verdict: verdictProblem, Seen: fmt.Sprintf(format, args...), Next: next, exit: exitError}
}

// unseen is what could not be looked at, and why.
func unseen(format string, args ...any) finding {
	return finding{Verdict: verdictUnseen, Seen: fmt.Sprintf(format, args...)}
}

// broken is a problem that the tables of errors know. Every problem has a next step.
func broken(err error) finding {
	e := explain(err)
	if e.Hint == "" {
		e.Hint = "please report this with the output of ctx version"
	}
	return finding{Verdict: verdictProblem, Seen: e.Error, Next: e.Hint, exit: e.Exit}
}

// code is the exit code if there is no other problem.
func (f finding) code(exit int) finding {
	f.exit = exit
	return f
}

// diagnosis is the JSON form of what a doctor found.
type diagnosis struct {
	Problems int       `json:"problems"`
	Warnings int       `json:"warnings"`
	Checks   []finding `json:"checks"`
}

// examine makes the checks one after the other and shows each as soon as it is made. The error says what is wrong;
// its exit code says so if all that is wrong is a token or a key, or that a hub cannot be reached. Warnings are no
// error.
func examine[S any](ctx context.Context, sys *system, asJSON bool, s *S, checks []check[S]) error {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.name))
	}
	all := diagnosis{Checks: make([]finding, 0, len(checks))}
	useless := map[string]bool{}
	var left []string // what was not looked at for want of another
	for _, c := range checks {
		f := unseen("it needs: %s", c.needs)
		if useless[c.needs] {
			left = append(left, c.name)
		} else {
			done := sys.busy("looking at: " + c.name)
			f = c.look(s, ctx)
			done()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.Check, f.Seen = c.name, oneLine(f.Seen)
		useless[c.name] = f.Verdict == verdictProblem || f.Verdict == verdictUnseen
		all.add(f)
		if !asJSON && !useless[c.needs] {
			f.print(sys, width)
		}
	}
	if asJSON {
		if err := sys.json(all); err != nil {
			return err
		}
		return all.err()
	}
	if len(left) > 0 {
		f := unseen("for want of what is missing above: %s", strings.Join(left, ", "))
		f.print(sys, width)
	}
	sys.printf("\n%s\n", all.sum())
	return all.err()
}

func (d *diagnosis) add(f finding) {
	d.Checks = append(d.Checks, f)
	switch f.Verdict {
	case verdictProblem:
		d.Problems++
	case verdictWarning:
		d.Warnings++
	}
}

// print writes a line for each check, and the next step below it.
func (f finding) print(sys *system, width int) {
	styles := map[verdict]string{verdictOK: "32", verdictWarning: "33", verdictProblem: "31", verdictUnseen: "2"}
	label := fmt.Sprintf("%-*s", len(verdictUnseen), f.Verdict)
	name := ""
	if f.Check != "" {
		name = fmt.Sprintf("%-*s  ", width, f.Check)
	}
	sys.printf("%s  %s%s\n", sys.paint(sys.outTerm, styles[f.Verdict], label), name, f.Seen)
	if f.Next != "" {
		sys.printf("%*s  next: %s\n", len(verdictUnseen), "", f.Next)
	}
}

func (d *diagnosis) sum() string {
	unseen, well := 0, 0
	for _, f := range d.Checks {
		switch f.Verdict {
		case verdictUnseen:
			unseen++
		case verdictOK:
			well++
		}
	}
	parts := []string{count(well) + " ok"}
	for _, p := range []struct {
		n         int
		one, many string
	}{{d.Problems, "problem", "problems"}, {d.Warnings, "warning", "warnings"}, {unseen, "not checked", "not checked"}} {
		if p.n > 0 {
			parts = append(parts, plural(p.n, p.one, p.many))
		}
	}
	return plural(len(d.Checks), "check", "checks") + ": " + strings.Join(parts, ", ")
}

func (d *diagnosis) err() error {
	var names []string
	a := &advice{}
	for _, f := range d.Checks {
		if f.Verdict != verdictProblem {
			continue
		}
		if names = append(names, f.Check); len(names) == 1 {
			a.hint, a.exit = f.Next, f.exit
		}
		if f.exit != a.exit {
			a.exit = exitError
		}
	}
	if a.exit != exitAuth && a.exit != exitUnreachable { // what else a check may stand for is no reason of its own
		a.exit = exitError
	}
	if len(names) == 0 {
		return nil
	}
	a.err = errors.New(plural(len(names), "problem", "problems") + ": " + strings.Join(names, ", "))
	return a
}
