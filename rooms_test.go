package virtcast_test

import (
	"flag"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what this package's tests generate")

// architecture has the table of the rooms between two lines.
const (
	architecture = "docs/ARCHITECTURE.md"
	tableBegin   = "<!-- go test . -run TestRoomsInArchitecture -update writes this table from layout_test.go -->\n"
	tableEnd     = "<!-- end of the table -->\n"
)

// The rooms of ARCHITECTURE.md are those of this test, with the words of their package
// comments.
func TestRoomsInArchitecture(t *testing.T) {
	page, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), tableBegin)
	got, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s has no lines %q and %q", architecture, tableBegin, tableEnd)
	}
	want := roomTable(packages(t))
	if *update {
		if err := os.WriteFile(architecture, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of rooms in %s is old; run: go test . -run %s -update\n(-want +got)\n%s", architecture, t.Name(), diff)
	}
}

// roomTable returns the rooms as a table of Markdown.
func roomTable(all []listed) string {
	var table strings.Builder
	table.WriteString("| room | its package | may import, of this module | why |\n|---|---|---|---|\n")
	for _, r := range rooms {
		var may []string
		for _, m := range r.may {
			switch m {
			case "...":
				may = append(may, "everything")
			case "":
				may = append(may, "its own packages")
			default:
				may = append(may, "`"+strings.TrimSuffix(m, "/.")+"`")
			}
		}
		if len(may) == 0 {
			may = []string{"nothing"}
		}
		name := r.path
		if name == "" {
			name = path.Base(module)
		}
		table.WriteString("| `" + strings.Join([]string{name + "`", synopsis(all, r.path), strings.Join(may, ", "), r.why}, " | ") + " |\n")
	}
	return table.String()
}

// synopsis returns the beginning of the comment of a room's package, or of the only
// package below a room that has none itself.
func synopsis(all []listed, room string) string {
	i := slices.IndexFunc(all, func(p listed) bool { return p.path() == room && p.Doc != "" })
	if i < 0 {
		i = slices.IndexFunc(all, func(p listed) bool { return within(p.path(), room) && p.Doc != "" })
	}
	if i < 0 {
		return "–"
	}
	words := all[i].Doc
	if first := strings.SplitN(words, " ", 3); len(first) == 3 && (first[0] == "Package" || first[0] == "Command") {
		words = strings.TrimPrefix(first[2], "is ")
	}
	if end := strings.IndexAny(words, ":;"); end >= 0 {
		words = words[:end]
	}
	return strings.TrimSuffix(words, ".")
}
