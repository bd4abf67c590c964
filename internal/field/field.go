// Package field names a faulty field of a configuration: its place, the problem, and what
// to write instead. Each package with a Config reports its faults so; the command line
// turns paths into file, line and column.
package field

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Path is a field's place in the configuration, in the form of a YAML path
// without its root: "sinks[0].nats.url". The empty path is the whole document.
type Path string

// Key returns the path of a key of the mapping at p.
func (p Path) Key(name string) Path {
	if p == "" {
		return Path(name)
	}
	return p + Path("."+name)
}

// Index returns the path of an element of the sequence at p.
func (p Path) Index(i int) Path { return p + Path("["+strconv.Itoa(i)+"]") }

// Error is one faulty field. Problem and Cure are lower-case phrases without a full
// stop; Cure may be empty only where the problem already says what to do.
type Error struct {
	Path    Path
	Problem string
	Cure    string
}

// Error returns "path: problem; cure".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(string(e.Path) + ": ")
	}
	b.WriteString(e.Problem)
	if e.Cure != "" {
		b.WriteString("; " + e.Cure)
	}
	return b.String()
}

// Faults collects every fault of a configuration, so that one run reports all.
// The zero value is ready for use.
type Faults struct{ errs []error }

// Add records a fault at a path. problem is formatted with args; cure is what to write.
func (f *Faults) Add(path Path, cure, problem string, args ...any) {
	f.errs = append(f.errs, &Error{Path: path, Problem: fmt.Sprintf(problem, args...), Cure: cure})
}

// Err returns nil, or the faults joined: errors.As finds the first *[Error],
// [All] finds each.
func (f *Faults) Err() error { return errors.Join(f.errs...) }

// Join adds the faults of another validation.
func (f *Faults) Join(err error) {
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

// All returns every *[Error] in err, in the order in which they were added, and all other
// errors in it.
func All(err error) (faults []*Error, others []error) {
	switch e := err.(type) { //nolint:errorlint // walks the tree of joined errors itself
	case nil:
	case *Error:
		faults = append(faults, e)
	case interface{ Unwrap() []error }:
		for _, sub := range e.Unwrap() {
			f, o := All(sub)
			faults, others = append(faults, f...), append(others, o...)
		}
	default:
		others = append(others, err)
	}
	return faults, others
}

// Step is one step of a [Path]: into a mapping (Key) or, where Key is empty, into a
// sequence (Index).
type Step struct {
	Key   string
	Index int
}

// Steps splits p. A part that is not of the form that Key and Index make ends the
// list.
func (p Path) Steps() []Step {
	var steps []Step
	for part := range strings.SplitSeq(string(p), ".") {
		key, indexes, _ := strings.Cut(part, "[")
		if key != "" {
			steps = append(steps, Step{Key: key})
		}
		for index := range strings.SplitSeq(indexes, "[") {
			if index == "" {
				continue
			}
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err != nil {
				return steps
			}
			steps = append(steps, Step{Index: i})
		}
	}
	return steps
}

// Under returns err with every *[Error] in it at its path below p. A package that owns a
// part of the configuration reports faults at paths that begin in that part; the caller that puts
// the parts together knows where it stands.
func Under(p Path, err error) error {
	faults, others := All(err)
	var f Faults
	for _, fault := range faults {
		f.errs = append(f.errs, &Error{Path: p.join(fault.Path), Problem: fault.Problem, Cure: fault.Cure})
	}
	f.errs = append(f.errs, others...)
	return f.Err()
}

// join returns the path of what has the path below, seen from p.
func (p Path) join(below Path) Path {
	switch {
	case below == "":
		return p
	case p == "" || below[0] == '[':
		return p + below
	}
	return p + "." + below
}
