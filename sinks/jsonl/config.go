package jsonl

import (
	"strings"

	"github.com/virtcast/virtcast/internal/field"
)

// Stdout is the path that means the standard output.
const Stdout = "-"

// Config is what a user writes about a JSON lines sink.
type Config struct {
	// Path is the file that lines are appended to, made with mode 0640 if it is missing;
	// "-" is the standard output. Required.
	Path string `yaml:"path"`
}

// Validate reports every fault of c, at the paths below path. It opens nothing.
func (c Config) Validate(path field.Path) error {
	const cure = `write the path of a file, or "-" for the standard output`
	var f field.Faults
	switch {
	case c.Path == "":
		f.Add(path.Key("path"), cure, "missing")
	case strings.HasSuffix(c.Path, "/"):
		f.Add(path.Key("path"), cure, "%q is a directory", c.Path)
	case strings.ContainsRune(c.Path, 0):
		f.Add(path.Key("path"), cure, "path holds a NUL character")
	}
	return f.Err()
}
