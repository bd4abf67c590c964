package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSamples loads every configuration that we ship, strictly.
func TestSamples(t *testing.T) {
	names, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(names) < 3 {
		t.Fatalf("configs has %v (%v), want three files at least", names, err)
	}
	for _, name := range append(names, "../../compose/virtcast.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(name, data, func(string) (string, bool) { return "secret", true }); err != nil {
			t.Error(err)
		}
	}
}
