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

var update = flag.Bool("update", false, "write the snippets of docs/consuming.md")

const consuming = "../docs/consuming.md"

// snippet is a fenced block under a comment with the path of the file that it quotes.
var snippet = regexp.MustCompile("(?s)<!-- quotes (\\S+) -->\n```(\\w+)\n(.*?)```\n")

// The code in docs/consuming.md is, to the byte, the code of the programs that
// TestInterop runs.
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
		t.Errorf("%s is old; go test with -update writes it (-programs +page):\n%s", consuming, diff)
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

// example returns what is between the marks of a program, without the indentation that
// all lines share.
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

// The pages about NATS and Kafka name every key and metric, and the sample configuration
// shows every key. A new key or metric without documentation fails here.
func TestPagesAreComplete(t *testing.T) {
	text := func(path string) string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, bus := range []string{"nats", "kafka"} {
		page, sample := text("../docs/"+bus+".md"), text("../configs/virtcast.yaml")
		_, section, ok := strings.Cut(sample, "    "+bus+":\n")
		if !ok {
			t.Fatalf("configs/virtcast.yaml has no sink of %s", bus)
		}
		section, _, _ = strings.Cut(section, "\n  - name:")
		keys := regexp.MustCompile(`yaml:"(\w+)"`).FindAllStringSubmatch(text("../sinks/"+bus+"/config.go"), -1)
		metrics := regexp.MustCompile(`"(virtcast_`+bus+`_\w+)"`).FindAllStringSubmatch(text("../sinks/"+bus+"/metrics.go"), -1)
		if len(keys) == 0 || len(metrics) == 0 {
			t.Fatalf("found %d keys and %d metrics in the source of %s: this test no longer knows it", len(keys), len(metrics), bus)
		}
		for _, key := range keys {
			if !regexp.MustCompile(`\b` + key[1] + `\b`).MatchString(page) {
				t.Errorf("docs/%s.md does not speak of %s", bus, key[1])
			}
			if !strings.Contains(section, key[1]+":") {
				t.Errorf("the sink of %s in configs/virtcast.yaml does not show %s", bus, key[1])
			}
		}
		for _, metric := range metrics {
			if !strings.Contains(page, "| `"+metric[1]+"` |") {
				t.Errorf("docs/%s.md does not explain %s", bus, metric[1])
			}
		}
	}
}

// Links between the pages lead somewhere.
func TestDocsLinks(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]+))?\)`)
	for _, page := range append(pages, "../README.md", "../compose/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			there, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", page, err)
			} else if m[2] != "" && !slices.Contains(anchors(string(there)), m[2]) {
				t.Errorf("%s: %s has no heading for #%s", page, target, m[2])
			}
		}
	}
}

// anchors returns the anchors of a page's headings: lower case, hyphens for spaces, no
// punctuation.
func anchors(page string) []string {
	var all []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		all = append(all, strings.ReplaceAll(regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(heading, ""), " ", "-"))
	}
	return all
}
