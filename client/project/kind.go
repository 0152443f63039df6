package project

// kind is a type of entry and the mirror it is written to. A type that a hub names never becomes part of a
// path: it is looked up here, and what is not here is skipped.
type kind struct {
	name, file, title string
}

var kinds = []kind{
	{"decision", "decisions.md", "Decisions"},
	{"learning", "learnings.md", "Learnings"},
	{"convention", "conventions.md", "Conventions"},
	{"task", "tasks.md", "Tasks"},
}

// Types returns the types of entry that can be mirrored.
func Types() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// mirrored returns the kinds among names, each once, in the order of the table.
func mirrored(names []string) []kind {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	var found []kind
	for _, k := range kinds {
		if wanted[k.name] {
			found = append(found, k)
		}
	}
	return found
}

func names(of []kind) []string {
	list := make([]string, len(of))
	for i, k := range of {
		list[i] = k.name
	}
	return list
}
