package config

import (
	"os"

	"github.com/virtcast/virtcast/internal/fault"
	"github.com/virtcast/virtcast/internal/strictyaml"
)

// InvalidError is returned for what the user has to correct before trying again. Its text
// is one line for each fault.
type InvalidError struct{ Err error }

// Error returns the faults.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the faults.
func (e *InvalidError) Unwrap() error { return e.Err }

// Load reads and validates a file; ${NAME} in it is the environment variable NAME. What
// fails is an [InvalidError].
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, &InvalidError{&fault.Error{Op: "read the configuration", Hint: fault.Hint(err), Err: err}}
	}
	return Parse(file, data, os.LookupEnv)
}

// Parse is Load for bytes at hand. file stands in the errors; lookup gives ${NAME} its
// value.
func Parse(file string, data []byte, lookup func(name string) (string, bool)) (*Config, error) {
	c, err := parse(file, data, lookup)
	if err != nil {
		return nil, &InvalidError{err}
	}
	return c, nil
}

func parse(file string, data []byte, lookup func(name string) (string, bool)) (*Config, error) {
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if err := doc.Expand(lookup); err != nil {
		return nil, err
	}
	var c Config
	if err := doc.Decode(&c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, doc.Locate(err)
	}
	return &c, nil
}
