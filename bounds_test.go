package virtcast_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// maxFunction bounds a function, in lines, outside tests.
const maxFunction = 60

func TestFunctionLength(t *testing.T) {
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if ast.IsGenerated(f) {
			continue
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			begin, end := fset.Position(fn.Pos()), fset.Position(fn.End())
			if lines := end.Line - begin.Line + 1; lines > maxFunction {
				t.Errorf("%s: %s has %d lines, want %d at most", begin, fn.Name.Name, lines, maxFunction)
			}
		}
	}
}

// How comments are wrapped. Of a hundred lines one may be wider than maxWidth, and one
// ragged.
const (
	wrapWidth = 90
	maxWidth  = 100
	// roomLeft is the width up to which a line must take the next word.
	roomLeft = 76
	// step is how much shorter than the longest line of its paragraph a line may be with
	// the next word added, before it counts as ragged.
	step = 4
)

// figures are what is measured of the comments of a tree.
type figures struct {
	lines        int
	wide, ragged []string // where
}

// Comments are as wide as a page, and even. With -update, paragraphs that are not are
// wrapped.
func TestComments(t *testing.T) {
	trees := map[string]*figures{}
	for _, file := range goFiles(t) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if wrapped := rewrap(t, file, src); wrapped != string(src) {
				src = []byte(wrapped)
				if err := os.WriteFile(file, src, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		tree, _, _ := strings.Cut(filepath.ToSlash(file), "/")
		if strings.HasSuffix(file, "_test.go") {
			tree += " (tests)"
		}
		if trees[tree] == nil {
			trees[tree] = &figures{}
		}
		for _, p := range paragraphs(t, file, src) {
			p.measure(trees[tree])
		}
	}
	for _, tree := range slices.Sorted(maps.Keys(trees)) {
		f := trees[tree]
		if 100*len(f.wide) > f.lines {
			t.Errorf("%s: %d of %d lines of comments are wider than %d columns, want 1%% at most: %v", tree, len(f.wide), f.lines, maxWidth, head(f.wide))
		}
		if 100*len(f.ragged) > f.lines {
			t.Errorf("%s: %d of %d lines of comments end early though the next word fits, want 1%% at most: %v", tree, len(f.ragged), f.lines, head(f.ragged))
		}
	}
}

func head(all []string) []string { return all[:min(len(all), 5)] }

func TestCommentsAreMeasuredAndWrapped(t *testing.T) {
	word := func(n int) string { return strings.Repeat("x", n) }
	for name, tc := range map[string]struct {
		lines        []string
		wide, ragged int
		wrapped      []string
	}{
		"even":       {[]string{"// " + word(80), "// " + word(80)}, 0, 0, nil},
		"too wide":   {[]string{"// " + word(60) + " " + word(40), "// y"}, 1, 0, []string{"// " + word(60), "// " + word(40) + " y"}},
		"a bit wide": {[]string{"// " + word(60) + " " + word(30), "// y"}, 0, 0, []string{"// " + word(60), "// " + word(30) + " y"}},
		"short line": {[]string{"// short", "// lines"}, 0, 1, []string{"// short lines"}},
		"two ends":   {[]string{"// " + word(85), "// " + word(70), "// " + word(8), "// " + word(80)}, 0, 1, []string{"// " + word(85), "// " + word(70) + " " + word(8), "// " + word(80)}},
		"a list":     {[]string{"// List:", "//   - one", "//   - two", "// 1. three", "// - four"}, 0, 0, nil},
		"directives": {[]string{"//go:build linux", "//nolint:x // y"}, 0, 0, nil},
		"an output":  {[]string{"// Output:", "// a", "// b"}, 0, 0, nil},
		"apart":      {[]string{"// one", "//", "// two"}, 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			source := "package p\n\n" + strings.Join(tc.lines, "\n") + "\n"
			var f figures
			for _, p := range paragraphs(t, "p.go", []byte(source)) {
				p.measure(&f)
			}
			if len(f.wide) != tc.wide || len(f.ragged) != tc.ragged {
				t.Errorf("got %d wide and %d ragged lines, want %d and %d", len(f.wide), len(f.ragged), tc.wide, tc.ragged)
			}
			want := source
			if tc.wrapped != nil {
				want = "package p\n\n" + strings.Join(tc.wrapped, "\n") + "\n"
			}
			if diff := cmp.Diff(want, rewrap(t, "p.go", []byte(source))); diff != "" {
				t.Errorf("wrapped (-want +got):\n%s", diff)
			}
		})
	}
}

// paragraph is a run of comment lines that can be wrapped.
type paragraph struct {
	file   string
	line   int // the number of the first line, from 0
	indent string
	texts  []string // without the slashes
}

// columns returns the width of a line of the paragraph; a tab has four columns.
func (p paragraph) columns(text string) int {
	return 4*len(p.indent) + len("// ") + len([]rune(strings.ReplaceAll(text, "\t", "    ")))
}

func (p paragraph) at(i int) string { return p.file + ":" + strconv.Itoa(p.line+i+1) }

// measure adds the paragraph to the figures of its tree.
func (p paragraph) measure(f *figures) {
	f.lines += len(p.texts)
	longest := 0
	for i, text := range p.texts {
		longest = max(longest, p.columns(text))
		if p.columns(text) > maxWidth {
			f.wide = append(f.wide, p.at(i))
		}
	}
	for i := range p.texts {
		if p.isRagged(i, longest) {
			f.ragged = append(f.ragged, p.at(i))
		}
	}
}

// isRagged reports whether line i has room for the first word of the next line.
func (p paragraph) isRagged(i, longest int) bool {
	if i+1 == len(p.texts) {
		return false
	}
	word, _, _ := strings.Cut(p.texts[i+1], " ")
	with := p.columns(p.texts[i] + " " + word)
	return with <= roomLeft || len(p.texts) >= 3 && with <= longest-step
}

// wrapped returns the paragraph's lines, wrapped at wrapWidth.
func (p paragraph) wrapped() []string {
	var lines []string
	for _, word := range strings.Fields(strings.Join(p.texts, " ")) {
		if n := len(lines) - 1; n >= 0 && p.columns(lines[n]+" "+word) <= wrapWidth {
			lines[n] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// rewrap returns a source with those of its paragraphs wrapped that are too wide or
// ragged.
func rewrap(t *testing.T, file string, src []byte) string {
	t.Helper()
	all := paragraphs(t, file, src)
	lines := strings.Split(string(src), "\n")
	for _, p := range slices.Backward(all) {
		var f figures
		p.measure(&f)
		tooWide := slices.ContainsFunc(p.texts, func(text string) bool { return p.columns(text) > wrapWidth })
		if !tooWide && len(f.ragged) == 0 {
			continue
		}
		wrapped := p.wrapped()
		for i, text := range wrapped {
			wrapped[i] = p.indent + "// " + text
		}
		lines = slices.Replace(lines, p.line, p.line+len(p.texts), wrapped...)
	}
	return strings.Join(lines, "\n")
}

// paragraphs returns the paragraphs of a file, in order. What is drawn, listed or
// indented is none, nor is the output of an example.
func paragraphs(t *testing.T, file string, src []byte) []paragraph {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if ast.IsGenerated(f) {
		return nil
	}
	lines := strings.Split(string(src), "\n")
	var all []paragraph
	for _, group := range f.Comments {
		if strings.Contains(group.Text(), "utput:\n") {
			continue
		}
		open := false
		for _, c := range group.List {
			n := fset.Position(c.Pos()).Line - 1
			indent, text, ok := commentLine(lines[n])
			if !ok || !isProse(text) {
				open = false
				continue
			}
			if !open {
				all, open = append(all, paragraph{file: file, line: n, indent: indent}), true
			}
			p := &all[len(all)-1]
			p.texts = append(p.texts, text)
		}
	}
	return all
}

// commentLine takes a line apart that has a comment and nothing else.
func commentLine(line string) (indent, text string, ok bool) {
	indent, text, ok = strings.Cut(line, "//")
	return indent, strings.TrimPrefix(text, " "), ok && strings.Trim(indent, "\t") == "" && (text == "" || text[0] == ' ')
}

// isProse reports whether a line of a comment may be wrapped together with its
// neighbours.
func isProse(text string) bool {
	if text == "" || strings.ContainsAny(text[:1], " \t-#*+|[") {
		return false
	}
	number := strings.TrimLeft(text, "0123456789")
	return number == text || !strings.HasPrefix(number, ".") && !strings.HasPrefix(number, ")")
}
