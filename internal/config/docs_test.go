package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// yamlBlock is a fenced block of YAML in a document.
var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?\n)```\n")

// TestDocs loads every configuration in the documents, strictly. A part of one is
// completed first.
func TestDocs(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]int{}
	for _, name := range append(documents, "../../README.md", "../../compose/README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range yamlBlock.FindAllSubmatchIndex(text, -1) {
			blocks[filepath.Base(name)]++
			line := 1 + strings.Count(string(text[:match[2]]), "\n")
			_, err := Parse("block", []byte(completed(string(text[match[2]:match[3]]))), func(string) (string, bool) { return "secret", true })
			if err != nil {
				t.Errorf("the block at %s:%d, completed: %v", name, line, err)
			}
		}
	}
	if blocks["README.md"] == 0 || len(blocks) < 3 {
		t.Errorf("blocks of YAML: %v, want some in the README and in two documents at least", blocks)
	}
}

// completed adds what a part of a configuration lacks: the sink that an indented part
// belongs to, and what is required.
func completed(text string) string {
	if strings.HasPrefix(text, "      ") {
		text = "sinks:\n  - name: bus\n    nats:\n      url: nats://127.0.0.1:4222\n" + text
	}
	for _, required := range []struct{ key, value string }{
		{"data_dir", "/var/lib/virtcast"},
		{"connections", "[{name: local, uri: qemu:///system}]"},
		{"sinks", `[{name: screen, jsonl: {path: "-"}}]`},
	} {
		if !regexp.MustCompile(`(?m)^` + required.key + `:`).MatchString(text) {
			text += fmt.Sprintf("\n%s: %s\n", required.key, required.value)
		}
	}
	return text
}
