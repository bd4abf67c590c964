package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzConfig holds that any file is a configuration or is refused with reasons that each
// name the file, and that what is valid can be described.
func FuzzConfig(f *testing.F) {
	samples, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(samples) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range samples {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	scripts, err := txtar.ParseFile("../../cmd/virtcast/testdata/script/check-broken.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range scripts.Files {
		f.Add(file.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("v.yaml", data, func(string) (string, bool) { return "secret", true })
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "v.yaml:") {
					t.Errorf("%q does not say where", line)
				}
			}
			return
		}
		var out strings.Builder
		if err := c.Describe(&out, "v.yaml"); err != nil {
			t.Errorf("describe: %v", err)
		}
		for i := range c.Sinks {
			if _, err := c.Sinks[i].Kind(); err != nil {
				t.Errorf("sink %d of a valid configuration: %v", i, err)
			}
		}
		if err := c.Validate(); err != nil {
			t.Errorf("a valid configuration is not valid the second time: %v", err)
		}
	})
}
