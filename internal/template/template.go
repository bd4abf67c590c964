package template

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Literal is the Name of a [Part] that is fixed text.
const Literal = -1

// Part is a piece of a template: fixed text, or a placeholder.
type Part struct {
	// Text is the fixed text; of a placeholder it is the name, without the braces.
	Text string
	// Name is the placeholder's index in the list of allowed names, or [Literal].
	Name int
}

// Template is a parsed template. It does not change.
type Template struct {
	text  string
	parts []Part
}

// Error is why a text is no template.
type Error struct {
	Text string
	// At is where in Text, in bytes from 0.
	At      int
	Problem string
}

// Error returns a lower-case phrase that names the text and the place in it, which counts
// characters from 1.
func (e *Error) Error() string {
	return fmt.Sprintf("%q has %s at character %d", e.Text, e.Problem, utf8.RuneCountInString(e.Text[:e.At])+1)
}

// Parse parses a text in which each {name} stands for a value. Only the given names are
// allowed. There is no way to write a brace that is none of a placeholder. The error is
// an [*Error].
func Parse(text string, names ...string) (*Template, error) {
	t := &Template{text: text}
	for at := 0; at < len(text); {
		open := strings.IndexAny(text[at:], "{}")
		if open < 0 {
			t.parts = append(t.parts, Part{Text: text[at:], Name: Literal})
			break
		}
		open += at
		if text[open] == '}' {
			return nil, &Error{text, open, "a } without a {"}
		}
		length := strings.IndexAny(text[open+1:], "{}")
		if length < 0 || text[open+1+length] == '{' {
			return nil, &Error{text, open, "a { without a }"}
		}
		name := text[open+1 : open+1+length]
		index := slices.Index(names, name)
		if index < 0 {
			return nil, &Error{text, open, unknown(name, names)}
		}
		if open > at {
			t.parts = append(t.parts, Part{Text: text[at:open], Name: Literal})
		}
		t.parts = append(t.parts, Part{Text: name, Name: index})
		at = open + length + 2
	}
	return t, nil
}

func unknown(name string, names []string) string {
	quoted := fmt.Sprintf("%q", name)
	problem := "the unknown placeholder {" + quoted[1:len(quoted)-1] + "}"
	if len(names) > 0 {
		problem += " (known: {" + strings.Join(names, "}, {") + "})"
	}
	return problem
}

// Append appends the template to dst. For each placeholder it calls value, which appends
// the value of the name with that index to dst and returns the result. Append itself
// allocates nothing but room in dst.
func (t *Template) Append(dst []byte, value func(dst []byte, name int) []byte) []byte {
	for i := range t.parts {
		if p := &t.parts[i]; p.Name == Literal {
			dst = append(dst, p.Text...)
		} else {
			dst = value(dst, p.Name)
		}
	}
	return dst
}

// Parts returns the pieces in order: no empty one, and no two texts side by side. The
// caller must not change them.
func (t *Template) Parts() []Part { return t.parts }

// Fixed returns the text, and true, if there is no placeholder in it.
func (t *Template) Fixed() (text string, ok bool) {
	for i := range t.parts {
		if t.parts[i].Name != Literal {
			return "", false
		}
	}
	return t.text, true
}

// String returns the template as it was written.
func (t *Template) String() string { return t.text }
