package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"ctxhub/client/project"
)

type completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completion) Help() string {
	return `Examples:

    source <(ctx completion bash)
    ctx completion fish > ~/.config/fish/completions/ctx.fish`
}

func (c *completion) Run(sys *system, app *kong.Application) error {
	words := map[string][]string{}
	collect(app.Node, "", words)
	switch c.Shell {
	case "fish":
		sys.printf("%s", fishScript(words))
	case "zsh":
		sys.printf("autoload -U +X compinit bashcompinit && compinit -u && bashcompinit\n%s", bashScript(words))
	default:
		sys.printf("%s", bashScript(words))
	}
	return nil
}

// collect gives, for each command by its path ("hub start"), the words that may follow: commands, flags and
// types of entry.
func collect(node *kong.Node, path string, words map[string][]string) {
	list := []string{}
	for _, child := range node.Children {
		if !child.Hidden {
			list = append(list, child.Name)
			collect(child, strings.TrimSpace(path+" "+child.Name), words)
		}
	}
	for _, flags := range node.AllFlags(true) {
		for _, flag := range flags {
			if node.Parent == nil || flag.Name != "version" {
				list = append(list, "--"+flag.Name)
			}
		}
	}
	for _, arg := range node.Positional {
		switch {
		case arg.Name == "type":
			list = append(list, project.Types()...)
		case arg.Enum != "":
			list = append(list, arg.EnumSlice()...)
		}
	}
	words[path] = list
}

// bashScript looks up the words by the commands typed so far. Types of entry stand where commands stand, but
// are not in the table, so that they leave the path as it is.
func bashScript(words map[string][]string) string {
	var b strings.Builder
	b.WriteString("_ctx() {\n  local cur=${COMP_WORDS[COMP_CWORD]} path= next i\n" +
		"  for ((i = 1; i < COMP_CWORD; i++)); do\n" +
		"    next=\"$path${path:+ }${COMP_WORDS[i]}\"\n" +
		"    case $next in\n")
	paths := slices.Sorted(maps.Keys(words))
	fmt.Fprintf(&b, "      %s) path=$next ;;\n", quotedAlternatives(paths[1:]))
	b.WriteString("    esac\n  done\n  case $path in\n")
	for _, path := range paths {
		fmt.Fprintf(&b, "    %q) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n", path, strings.Join(words[path], " "))
	}
	b.WriteString("  esac\n}\ncomplete -o default -F _ctx ctx\n")
	return b.String()
}

func quotedAlternatives(paths []string) string {
	quoted := make([]string, len(paths))
	for i, path := range paths {
		quoted[i] = fmt.Sprintf("%q", path)
	}
	return strings.Join(quoted, "|")
}

// fishScript gives the words of a path where its commands have been typed and none of those below it.
func fishScript(words map[string][]string) string {
	var b strings.Builder
	b.WriteString("complete -c ctx -e\n")
	for _, path := range slices.Sorted(maps.Keys(words)) {
		var conditions []string
		for command := range strings.FieldsSeq(path) {
			conditions = append(conditions, "__fish_seen_subcommand_from "+command)
		}
		var below []string
		for _, word := range words[path] {
			if _, isCommand := words[strings.TrimSpace(path+" "+word)]; isCommand {
				below = append(below, word)
			}
		}
		if len(below) > 0 {
			conditions = append(conditions, "not __fish_seen_subcommand_from "+strings.Join(below, " "))
		}
		condition := strings.Join(conditions, "; and ")
		for _, word := range words[path] {
			if flag, ok := strings.CutPrefix(word, "--"); ok {
				fmt.Fprintf(&b, "complete -c ctx -n %q -l %s\n", condition, flag)
			} else {
				fmt.Fprintf(&b, "complete -c ctx -f -n %q -a %s\n", condition, word)
			}
		}
	}
	return b.String()
}
