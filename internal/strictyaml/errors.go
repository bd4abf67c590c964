package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/virtcast/virtcast/internal/field"
)

// Error is a fault at a place in a file.
type Error struct {
	File         string
	Line, Column int // from 1; 0 where no place is known
	Fault        field.Error
}

// Error returns "file:line:column: path: problem; cure".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Fault.Error())
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Fault.Error())
}

// Errors is every fault of a file, in the order of their places.
type Errors []*Error

// Error returns one line for each fault.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func sorted(es Errors) error {
	if len(es) == 0 {
		return nil
	}
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return es
}

// Locate turns the faults that a validation reported into [Errors] with their
// places. A path whose last part is absent from the file gets the place of its
// nearest ancestor. Errors that name no field keep their text.
func (d *Document) Locate(err error) error {
	faults, others := field.All(err)
	es := make(Errors, 0, len(faults)+len(others))
	for _, f := range faults {
		es = append(es, d.at(d.find(f.Path), *f))
	}
	for _, o := range others {
		var located Errors
		if errors.As(o, &located) {
			es = append(es, located...)
			continue
		}
		es = append(es, &Error{File: d.name, Fault: field.Error{Problem: o.Error()}})
	}
	return sorted(es)
}
