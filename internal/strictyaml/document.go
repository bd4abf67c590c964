package strictyaml

import (
	"errors"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/virtcast/virtcast/internal/field"
)

// MaxBytes is the largest file that Parse takes.
const MaxBytes = 4 << 20

// Document is one parsed file.
type Document struct {
	name string
	root ast.Node // nil for an empty file
}

// Parse parses a file of one YAML document. name stands in the errors.
func Parse(name string, data []byte) (*Document, error) {
	d := &Document{name: name}
	if len(data) > MaxBytes {
		return nil, Errors{{File: name, Fault: field.Error{Problem: "the file is larger than 4 MiB", Cure: "is this the right file?"}}}
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, Errors{d.fromYAML(err)}
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if d.root != nil {
			return nil, Errors{d.at(doc.Body, field.Error{Problem: "a second YAML document in the file", Cure: "remove it and the line --- above it"})}
		}
		d.root = doc.Body
	}
	return d, nil
}

// Decode fills v, a pointer to a struct with yaml tags, and reports keys that v does not
// have, keys that come twice, and values of the wrong type. Fields that are absent keep
// what v holds.
func (d *Document) Decode(v any) error {
	if d.root == nil {
		return nil
	}
	var es Errors
	d.compare(d.root, reflect.TypeOf(v), "", &es)
	if len(es) > 0 {
		return sorted(es)
	}
	if err := yaml.NodeToValue(d.root, v); err != nil {
		return Errors{d.fromYAML(err)}
	}
	return nil
}

// at makes an error at a node.
func (d *Document) at(n ast.Node, fault field.Error) *Error {
	e := &Error{File: d.name, Fault: fault}
	if n == nil {
		return e
	}
	// A mapping's own token is a colon inside it: its place is its first key.
	if inside := pairs(n); len(inside) > 0 {
		n = inside[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		e.Line, e.Column = t.Position.Line, t.Position.Column
	}
	return e
}

// fromYAML takes the place and the message from an error of the YAML library.
func (d *Document) fromYAML(err error) *Error {
	e := &Error{File: d.name, Fault: field.Error{Problem: firstLine(err.Error())}}
	var y yaml.Error
	if errors.As(err, &y) {
		e.Fault.Problem = firstLine(y.GetMessage())
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, t.Position.Column
		}
	}
	return e
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// find returns the node at a path or, where the file does not go as deep, the
// key (or list element) of the nearest ancestor.
func (d *Document) find(path field.Path) ast.Node {
	node, nearest := d.root, d.root
	for _, step := range path.Steps() {
		key, value := child(node, step)
		if value == nil {
			return nearest
		}
		node, nearest = value, key
	}
	return node
}

// child returns the value at one step and the node with its place, or nil.
func child(n ast.Node, step field.Step) (key, value ast.Node) {
	n = bare(n)
	if seq, ok := n.(*ast.SequenceNode); ok && step.Key == "" && step.Index < len(seq.Values) {
		return seq.Values[step.Index], seq.Values[step.Index]
	}
	for _, pair := range pairs(n) {
		if keyName(pair) == step.Key {
			return pair.Key, pair.Value
		}
	}
	return nil, nil
}

// bare takes anchors and tags off.
func bare(n ast.Node) ast.Node {
	for {
		switch wrapped := n.(type) {
		case *ast.AnchorNode:
			n = wrapped.Value
		case *ast.TagNode:
			n = wrapped.Value
		default:
			return n
		}
	}
}

func keyName(pair *ast.MappingValueNode) string {
	if s, ok := pair.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return pair.Key.String()
}
