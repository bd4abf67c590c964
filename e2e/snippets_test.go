package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the snippets of docs/consuming.md anew")

const consuming = "../docs/consuming.md"

// snippet is a fenced block under a comment with the path of the file that it quotes.
var snippet = regexp.MustCompile("(?s)<!-- quotes (\\S+) -->\n```(\\w+)\n(.*?)```\n")

// The code in docs/consuming.md is that of the programs that TestInterop runs, to the byte.
func TestConsumingQuotesPrograms(t *testing.T) {
	doc, err := os.ReadFile(consuming)
	if err != nil {
		t.Fatal(err)
	}
	var quoted []string
	written := snippet.ReplaceAllFunc(doc, func(block []byte) []byte {
		parts := snippet.FindSubmatch(block)
		path, language := string(parts[1]), string(parts[2])
		quoted = append(quoted, path)
		text, err := example(filepath.Join("..", path))
		if err != nil {
			t.Error(err)
			return block
		}
		return fmt.Appendf(nil, "<!-- quotes %s -->\n```%s\n%s```\n", path, language, text)
	})
	if *update {
		if err := os.WriteFile(consuming, written, 0o644); err != nil {
			t.Fatal(err)
		}
		doc = written
	}
	if diff := cmp.Diff(string(written), string(doc)); diff != "" {
		t.Errorf("%s, written anew with -update (-programs +page):\n%s", consuming, diff)
	}
	if n := bytes.Count(doc, []byte("<!-- quotes ")); n != len(quoted) {
		t.Errorf("%d of %d quotations have no block below them", n-len(quoted), n)
	}
	for _, c := range consumers {
		if !slices.ContainsFunc(quoted, func(path string) bool { return strings.HasPrefix(filepath.Base(path), c.program) }) {
			t.Errorf("%s does not quote %s", consuming, c.program)
		}
	}
}

// example returns what is between the marks of a program, without the indentation that all lines share.
func example(path string) (string, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var lines []string
	begun, ended := false, false
	for line := range strings.Lines(string(program)) {
		switch {
		case strings.Contains(line, "example: begin"):
			begun = true
		case strings.Contains(line, "example: end"):
			ended = true
		case begun && !ended:
			lines = append(lines, line)
		}
	}
	switch {
	case filepath.Ext(path) == ".json":
		return string(program), nil // has no comments, and is quoted as a whole
	case !begun || !ended:
		return "", fmt.Errorf("%s has no example between marks", path)
	}
	indent := len(lines[0]) - len(strings.TrimLeft(lines[0], " "))
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, strings.Repeat(" ", min(indent, len(line))))
	}
	return strings.Join(lines, ""), nil
}
