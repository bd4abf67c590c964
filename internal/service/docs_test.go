package service

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/sinks/kafka"
)

const operations = "../../docs/operations.md"

// TestDocsMetrics holds that docs/operations.md explains the metrics that there are,
// those of the sinks themselves excepted, and no others.
func TestDocsMetrics(t *testing.T) {
	s, err := New(&config.Config{
		DataDir:     t.TempDir(),
		Connections: []config.Connection{{Name: "kvm01", URI: "test:///default"}},
		Sinks:       []config.Sink{{Name: "log", Kafka: &kafka.Config{Brokers: []string{"127.0.0.1:1"}, StateTopic: "virt.domains"}}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "virtcast_")
		if ours && !strings.HasPrefix(name, "kafka_") {
			there = append(there, name)
		}
	}
	text, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| metric (virtcast_…) ")
	table, _, _ = strings.Cut(table, "\n\n")
	if !found {
		t.Fatalf("%s has no table of metrics", operations)
	}
	var explained []string
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			explained = append(explained, regexp.MustCompile(`[a-z]+_[a-z_]+`).FindAllString(cells[1], -1)...)
		}
	}
	for _, name := range explained {
		if !slices.Contains(there, name) {
			t.Errorf("%s explains %s, which is no metric", operations, name)
		}
	}
	for _, name := range there {
		if !slices.Contains(explained, name) {
			t.Errorf("%s does not explain %s", operations, name)
		}
	}
}

// TestDocsMessages holds that the log messages in docs/operations.md are in the code.
func TestDocsMessages(t *testing.T) {
	text, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| message ")
	if !found {
		t.Fatalf("%s has no table of log messages", operations)
	}
	code := sources(t)
	messages := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(table, -1)
	for _, m := range messages {
		for part := range strings.SplitSeq(m[1], " … ") {
			if !strings.Contains(code, part) {
				t.Errorf("%s explains %q, and no code logs %q", operations, m[1], part)
			}
		}
	}
	if len(messages) < 10 {
		t.Errorf("found %d messages in %s", len(messages), operations)
	}
}

// sources returns all code of the module that is not a test's.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
