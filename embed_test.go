package virtcast_test

import (
	"bufio"
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/schema"
)

// embedPatience bounds how long a foreign module may take to compile, and then to run.
const embedPatience = 4 * time.Minute

// mostLines is how many lines an embedding main function may need.
const mostLines = 25

// TestEmbed holds that a program of another module can watch a hypervisor in a few lines:
// it is compiled against this checkout, and run against a libvirtd in this process.
func TestEmbed(t *testing.T) {
	const source = "testdata/embed/callbacks.go"
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := mainLines(t, source); n > mostLines {
		t.Errorf("main of %s has %d lines, want %d at most", source, n, mostLines)
	}
	program := buildForeign(t, string(text))

	host := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	defer host.Close()
	socket := filepath.Join(t.TempDir(), "sock")
	if _, err := host.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), embedPatience)
	defer cancel()
	child := command.New(ctx, embedPatience, program, "test+unix:///default?socket="+socket)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait() // it was killed
	}()
	web, err := host.Define("web-1", schema.UUID{1})
	if err != nil {
		t.Fatal(err)
	}
	// The program misses what happens before its callbacks are registered: start and stop
	// the domain until it prints an event.
	lines := bufio.NewScanner(out)
	seen := make(chan string, 1)
	go func() {
		defer close(seen)
		if lines.Scan() {
			seen <- lines.Text()
		}
	}()
	for {
		select {
		case line, ok := <-seen:
			if !ok || !strings.HasPrefix(line, "web-1 ") {
				t.Errorf("the program printed %q, want an event of web-1", line)
			}
			return
		case <-ctx.Done():
			t.Fatalf("the program printed nothing for %v", embedPatience)
		case <-time.After(50 * time.Millisecond):
			if err := web.Start(); err != nil {
				t.Fatal(err)
			}
			if err := web.Destroy(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReadmeGo holds that every Go program in the README compiles in another module, and
// that the one that TestEmbed runs is among them.
func TestReadmeGo(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := os.ReadFile("testdata/embed/callbacks.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, embedded) {
		t.Error("the README does not quote testdata/embed/callbacks.go to the byte")
	}
	for i, block := range strings.Split(string(text), "\n```go\n") {
		if i == 0 {
			continue
		}
		program, _, closed := strings.Cut(block, "```")
		if !closed || !strings.HasPrefix(program, "package main\n") {
			t.Errorf("Go block %d is no whole program", i)
			continue
		}
		buildForeign(t, program)
	}
}

// buildForeign compiles a program as another module that uses this checkout, and returns
// the binary.
func buildForeign(t *testing.T, program string) string {
	t.Helper()
	checkout, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": program,
		"go.sum":  string(sums),
		"go.mod": "module example.com/embed\n\ngo 1.26.0\n\nrequire " + module + " v0.0.0\n\n" +
			"replace " + module + " => " + checkout + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := command.New(t.Context(), embedPatience, "go", "build", "-o", "embed", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s in a foreign module: %v\n%s", build, err, out)
	}
	return filepath.Join(dir, "embed")
}

// mainLines returns how many lines the main function of a program has.
func mainLines(t *testing.T, file string) int {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Name.Name == "main" {
			return fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
		}
	}
	t.Fatalf("%s has no main function", file)
	return 0
}
