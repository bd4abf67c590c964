package schema

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestEventsPage holds docs/events.md to the code: the sample, every attribute and every
// name.
func TestEventsPage(t *testing.T) {
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile("samples/lifecycle-started.json")
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"```json\n" + string(sample) + "```\n"}
	for _, name := range attributeNames {
		lines = append(lines, "\n| `"+name+"` | ")
	}
	for number, event := range lifecycleEvents {
		details := make([]string, len(event.details))
		for i, detail := range event.details {
			details[i] = fmt.Sprintf("%d `%s`", i, detail)
		}
		lines = append(lines, fmt.Sprintf("\n| %d | `%s` | %s |\n", number, event.name, strings.Join(details, ", ")))
	}
	for _, line := range lines {
		if !strings.Contains(string(text), line) {
			t.Errorf("docs/events.md lacks %q", line)
		}
	}
}

// TestStatePage holds the sample in docs/state.md to the code.
func TestStatePage(t *testing.T) {
	text, err := os.ReadFile("../docs/state.md")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile("samples/state-paused-ioerror.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), strings.TrimSpace(string(sample))) {
		t.Error("docs/state.md lacks the sample state-paused-ioerror.json")
	}
}
