package virtcast_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

const module = "github.com/virtcast/virtcast"

// rooms are the groups of packages, and what they may import of this module outside their
// tests. A package is in the room with the longest path that is the package's own path or
// a parent of it. In the list of what may be imported, "" stands for the room itself, a
// path for the packages at and below it, a path that ends in /. for that package alone,
// and ... for all.
var rooms = []struct {
	path string
	may  []string
	why  string
}{
	{"", []string{"registry", "bridge"}, "the door for other programs opens on the registry and the bridge, and on no concrete driver or sink"},
	{"cmd", []string{"..."}, "the command line may use every room"},
	{"internal/service", []string{"", "schema", "registry", "bridge", "drivers", "sinks", "internal"}, "the wiring: beside cmd, the only room that knows concrete drivers and sinks"},
	{"internal/config", []string{"", "schema", "bridge/journal", "drivers/libvirt/transport", "sinks", "internal/field", "internal/fault", "internal/strictyaml"}, "what users write contains each sink's Config; wiring it is package service's business"},
	{"schema", []string{""}, "the vocabulary that everything else speaks knows nobody"},
	{"internal/field", nil, "how a faulty field is named must be usable from every room"},
	{"internal/retry", nil, "how long to wait and when to log a failure again depends on nothing that is retried"},
	{"internal/fault", nil, "what an operator can do about an error of the system is the same in every room"},
	{"internal/tlsfiles", []string{"internal/field", "internal/fault"}, "certificates are loaded and reloaded in one way, for any protocol above TLS"},
	{"internal/template", nil, "placeholders are parsed in one way; what they stand for is the caller's business"},
	{"internal/strictyaml", []string{"", "internal/field"}, "decoding finds places in a document; what the document means is not its business"},
	{"drivers", []string{"", "schema", "internal/field", "internal/retry", "internal/fault"}, "a driver observes; who registers, stamps and publishes is not its business"},
	{"drivers/libvirt/libvirttest", []string{"", "schema", "drivers/libvirt/wire"}, "the test hypervisor is the other end of the wire and must not share the client's code"},
	{"drivers/drivertest", []string{"", "schema", "drivers/."}, "the suite holds drivers to their seam, and to nothing else"},
	{"registry", []string{"", "schema", "drivers/.", "internal/field", "internal/retry", "internal/fault"}, "meets drivers by their seam and the bridge by a func"},
	{"bridge", []string{"", "schema", "bridge/journal", "bridge/domains", "bridge/value", "internal/field", "internal/retry", "internal/fault"}, "the delivery promises depend on no driver and no sink"},
	{"bridge/domains", []string{"", "schema", "bridge/value"}, "what events tell of domains depends neither on the journal nor on the sinks"},
	{"bridge/value", []string{""}, "a form of values, whatever is in them"},
	{"bridge/journal", []string{""}, "records are opaque: what is in them is not the journal's business"},
	{"sinks", nil, "the one thing that sinks share knows nobody"},
	{"sinks/nats", []string{"", "schema", "sinks/.", "internal/field", "internal/retry", "internal/fault", "internal/tlsfiles", "internal/template"}, "an adapter publishes what it is given; it never knows the bridge, nor another sink"},
	{"sinks/kafka", []string{"", "schema", "sinks/.", "internal/field", "internal/retry", "internal/fault", "internal/tlsfiles", "internal/template"}, "an adapter publishes what it is given; it never knows the bridge, nor another sink"},
	{"sinks/kafka/client", []string{"", "internal/fault", "internal/retry", "internal/tlsfiles"}, "connections, codes and metadata of a cluster have nothing to do with events"},
	{"sinks/kafka/producer", []string{"", "sinks/kafka/client", "internal/retry"}, "order, retries and batches are matters of keys and bytes, whatever the records are about"},
	{"sinks/jsonl", []string{"", "schema", "sinks/.", "internal/field", "internal/retry", "internal/fault"}, "an adapter publishes what it is given; it never knows the bridge, nor another sink"},
	{"sinks/sinktest", []string{"", "schema", "bridge/."}, "the suite holds sinks to what the bridge calls"},
	{"configs", nil, "samples, which their test loads"},
	{"e2e", []string{"", "schema"}, "black box: the built binary is driven from outside"},
}

// unsaying are names that do not tell what is in a package.
var unsaying = []string{"util", "utils", "common", "types", "helpers", "errors", "misc", "base"}

// maxLines bounds a file that people have to read.
const maxLines = 400

// listed is what go list prints about a package.
type listed struct {
	Dir, ImportPath, Name, Doc                string
	GoFiles, CgoFiles                         []string
	TestGoFiles, XTestGoFiles, IgnoredGoFiles []string
	Imports                                   []string
}

// path returns the package's path in the module, "" for its root.
func (p listed) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// sources are the files that are built, on this system or another.
func (p listed) sources() []string {
	var files []string
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, filepath.Join(p.Dir, name))
		}
	}
	return files
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := command.New(t.Context(), 2*time.Minute, "go", "list", "-e", "-json", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		room := -1
		for i, r := range rooms {
			if within(p.path(), r.path) && (room < 0 || len(r.path) > len(rooms[room].path)) {
				room = i
			}
		}
		if room < 0 {
			t.Errorf("%s is in no room: add a row that says what it may import, and why", p.path())
			continue
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module+"/")
			if ok && !allowed(rooms[room].path, rooms[room].may, ours) {
				t.Errorf("%s imports %s, but %s may not: %s", p.path(), ours, rooms[room].path, rooms[room].why)
			}
		}
	}
}

func allowed(room string, may []string, imported string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		switch exact, alone := strings.CutSuffix(m, "/."); {
		case m == "...":
			return true
		case m == "":
			return within(imported, room)
		case alone:
			return imported == exact
		default:
			return within(imported, m)
		}
	})
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func TestPackages(t *testing.T) {
	for _, p := range packages(t) {
		t.Run(p.ImportPath, func(t *testing.T) {
			if slices.Contains(unsaying, path.Base(p.ImportPath)) || slices.Contains(unsaying, p.Name) {
				t.Errorf("the name %q does not say what is in the package", p.Name)
			}
			if len(p.CgoFiles) > 0 {
				t.Errorf("%v need cgo", p.CgoFiles)
			}
			var commented []string
			for _, file := range p.sources() {
				if checkFile(t, file) {
					commented = append(commented, filepath.Base(file))
				}
			}
			if !commentInPlace(p, commented) {
				t.Errorf("the package comment is in %q, want it in doc.go and nowhere else", commented)
			}
		})
	}
}

// commentInPlace reports whether exactly one file has the package comment, and whether
// that file is doc.go, or a command's main.go, or the only file of the package.
func commentInPlace(p listed, commented []string) bool {
	switch {
	case len(p.sources()) == 0:
		return true
	case len(commented) != 1:
		return false
	default:
		return commented[0] == "doc.go" || commented[0] == "main.go" && p.Name == "main" || len(p.sources()) == 1
	}
}

// checkFile checks one source file, and reports whether it has a package comment.
func checkFile(t *testing.T, file string) (commented bool) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return false
	}
	name := filepath.Base(file)
	if lines := fset.File(f.FileStart).LineCount(); lines > maxLines && !ast.IsGenerated(f) {
		t.Errorf("%s has %d lines, want %d at most", name, lines, maxLines)
	}
	for _, imp := range f.Imports {
		if imp.Name != nil && imp.Name.Name == "_" && imp.Path.Value != `"embed"` {
			t.Errorf("%s imports %s for its side effects", name, imp.Path.Value)
		}
		if imp.Path.Value == `"C"` {
			t.Errorf("%s needs cgo", name)
		}
	}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s has an init function", name)
		}
	}
	return f.Doc != nil
}
