package virtcast_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// starters start a program, by the import path of their package. Struct types count too:
// an exec.Cmd that is made by hand has no deadline either.
var starters = map[string][]string{
	"os/exec": {"Command", "CommandContext"},
	"os":      {"StartProcess"},
	"syscall": {"Exec", "ForkExec", "StartProcess"},
}

// made are types of which no value may be made.
var made = map[string][]string{"os/exec": {"Cmd"}}

// starterRoom is the only package that may start a program.
const starterRoom = "e2e/command"

// Only e2e/command starts programs: it gives each a deadline, and an error with a name.
func TestProgramsHaveDeadlines(t *testing.T) {
	for _, file := range goFiles(t) {
		if filepath.ToSlash(filepath.Dir(file)) == starterRoom {
			continue
		}
		for _, at := range bareStarts(t, file, nil) {
			t.Errorf("%s: a program without a deadline; start it with package %s", at, starterRoom)
		}
	}
}

func TestProgramsHaveDeadlinesFinds(t *testing.T) {
	for source, want := range map[string]int{
		`import "os/exec"; func f() { exec.Command("true") }`:                      1,
		`import run "os/exec"; func f() { run.CommandContext(nil, "true") }`:       1,
		`import "os/exec"; func f() { _ = &exec.Cmd{Path: "true"} }`:               1,
		`import "os/exec"; func f() { start := exec.Command; start("true") }`:      1,
		`import "os"; func f() { os.StartProcess("true", nil, nil) }`:              1,
		`import "syscall"; func f() { syscall.ForkExec("true", nil, nil) }`:        1,
		`import "os/exec"; func f() { exec.LookPath("true"); var _ *exec.Cmd }`:    0,
		`import exec "example.com/mine"; func f() { exec.Command("not os/exec") }`: 0,
		`import "example.com/command"; func f() { command.New(nil, 1, "true") }`:   0,
	} {
		if got := bareStarts(t, "source.go", []byte("package p\n"+source)); len(got) != want {
			t.Errorf("found %v, want %d, in %s", got, want, source)
		}
	}
}

// bareStarts returns where a file starts programs by itself. src is as for
// [parser.ParseFile].
func bareStarts(t *testing.T, file string, src any) []token.Position {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	imports := importNames(f)
	var found []token.Position
	look := func(x ast.Expr, forbidden map[string][]string) {
		selector, ok := x.(*ast.SelectorExpr)
		if !ok {
			return
		}
		if pkg, ok := selector.X.(*ast.Ident); ok && slices.Contains(forbidden[imports[pkg.Name]], selector.Sel.Name) {
			found = append(found, fset.Position(x.Pos()))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			look(n.Type, made)
		case ast.Expr:
			look(n, starters)
		}
		return true
	})
	return found
}

// importNames returns the import path of each name that a file gives to a package.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, imp := range f.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			continue // the compiler says more
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if imp.Name != nil {
			name = imp.Name.Name
		}
		names[name] = path
	}
	return names
}

// goFiles returns every file of Go in the tree, tests too.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
