package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = ".." // of the module

var (
	testNames = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	scripts   = regexp.MustCompile(`\b\w+\.txtar\b`)
	links     = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	// A command stands at the start of a line, or behind a pipe; what ctx says begins likewise.
	commands = regexp.MustCompile(`^(?:.*\S \| )?(?:sudo )?ctx ((?:hub|connection|demo|version|completion)\b.*)`)
	answers  = regexp.MustCompile(`^ctx hub (?:is up|has stopped)`)
)

// Every test and script that docs/guarantees.md and docs/operations.md name is there.
func TestGuaranteesNameRealTests(t *testing.T) {
	page := readPage(t, "docs/guarantees.md") + readPage(t, "docs/operations.md")
	functions := testFunctions(t)
	for _, name := range testNames.FindAllString(page, -1) {
		if name != "TestName" && !functions[name] {
			t.Errorf("there is no %s", name)
		}
	}
	for _, name := range scripts.FindAllString(page, -1) {
		if _, err := os.Stat(filepath.Join("testdata/script", name)); err != nil {
			t.Error(err)
		}
	}
}

// testFunctions are the tests, fuzz targets and benchmarks of the module.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && testNames.MatchString(f.Name.Name) {
				all[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d tests found: %v", len(all), err)
	}
	return all
}

// Every link to a file leads to one, and every anchor to a heading.
func TestLinksInTheDocs(t *testing.T) {
	for _, name := range pages(t) {
		for _, link := range links.FindAllStringSubmatch(prose(readPage(t, name)), -1) {
			target, anchor := link[1], link[2]
			if strings.Contains(target, "://") {
				continue
			}
			path := name
			if target != "" {
				path = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readPage(t, path)), anchor) {
				t.Errorf("%s: %s has no heading for #%s", name, path, anchor)
			}
		}
	}
}

// anchors are the names that headings have as targets of links.
func anchors(page string) []string {
	var all []string
	for line := range strings.Lines(prose(page)) {
		hashes, title, _ := strings.Cut(strings.TrimSpace(line), " ")
		if hashes == "" || strings.Trim(hashes, "#") != "" {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return r
			}
			return -1
		}, strings.ToLower(title)))
	}
	return all
}

// Every ctx command line in the docs is one that ctx takes.
func TestCommandsInTheDocs(t *testing.T) {
	checked := 0
	for _, name := range pages(t) {
		for line := range strings.Lines(code(readPage(t, name))) {
			command := commands.FindStringSubmatch(line)
			if command == nil || answers.MatchString(line) {
				continue
			}
			parser, err := newParser(&system{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(shellWords(command[1])); err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
			checked++
		}
	}
	if checked < 30 {
		t.Errorf("only %d commands found", checked)
	}
}

// shellWords are the words of a line of the docs, in which only double quotes quote.
func shellWords(line string) []string {
	line, _, _ = strings.Cut(line, " #")
	var words []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func prose(page string) string { text, _ := split(page); return text }

func code(page string) string { _, text := split(page); return text }

// split takes a page apart into prose, and fenced and indented code.
func split(page string) (prose, code string) {
	fence := ""
	for line := range strings.Lines(page) {
		mark := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		indented, isIndented := strings.CutPrefix(line, "    ")
		switch {
		case fence != "" && strings.TrimSpace(line) == fence:
			fence = ""
		case fence != "":
			code += line
		case len(mark) >= 3:
			fence = mark
		case isIndented:
			code += indented
		default:
			prose += line
		}
	}
	return prose, code
}

func pages(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
