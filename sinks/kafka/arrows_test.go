package kafka

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of each room have an order in which they can be read: a file uses another
// one, and is not used by it in turn, not even in a circle of several. An arrow is any
// use of a constant, type, function, method or field that another file declares.
func TestFilesHaveAnOrder(t *testing.T) {
	for _, room := range []string{".", "client", "producer"} {
		uses := arrows(t, room)
		total := 0
		for file, of := range uses {
			total += len(of)
			if path := circle(uses, file, file, map[string]bool{}); path != nil {
				t.Errorf("%s: %s use each other in a circle", room, strings.Join(path, ", "))
			}
		}
		if total == 0 {
			t.Errorf("%s: no file uses another", room)
		}
	}
}

// nothing imports no package: the names of this one are all that matters.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

// arrows returns which files of a package use which.
func arrows(t *testing.T, dir string) map[string]map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	check := types.Config{Importer: nothing{}, Error: func(error) {}} // What is imported is missing.
	pkg, _ := check.Check(dir, fset, files, info)
	uses := map[string]map[string]bool{}
	for id, object := range info.Uses {
		if object.Pkg() != pkg || !isShared(object, pkg) {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(object.Pos()).Filename)
		if from != to {
			if uses[from] == nil {
				uses[from] = map[string]bool{}
			}
			uses[from][to] = true
		}
	}
	return uses
}

// isShared reports whether an object is no local of a function.
func isShared(object types.Object, pkg *types.Package) bool {
	if object.Parent() == pkg.Scope() {
		return true
	}
	switch o := object.(type) {
	case *types.Func:
		return true
	case *types.Var:
		return o.IsField()
	}
	return false
}

// circle returns the files on a way from one back to the other, or nil.
func circle(uses map[string]map[string]bool, from, to string, seen map[string]bool) []string {
	for _, next := range slices.Sorted(maps.Keys(uses[from])) {
		if next == to {
			return []string{from}
		}
		if seen[next] {
			continue
		}
		seen[next] = true
		if path := circle(uses, next, to, seen); path != nil {
			return append([]string{from}, path...)
		}
	}
	return nil
}
