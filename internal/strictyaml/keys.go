package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/virtcast/virtcast/internal/field"
)

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// compare compares n, with everything below it, with the type that it is to fill.
func (d *Document) compare(n ast.Node, t reflect.Type, path field.Path, es *Errors) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n = bare(n)
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if _, alias := n.(*ast.AliasNode); alias {
		return // what it stands for is compared where it is written
	}
	readsText := reflect.PointerTo(t).Implements(textUnmarshaler)
	switch {
	case t.Kind() == reflect.Struct && !readsText:
		switch n.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			d.compareFields(n, t, path, es)
		default:
			*es = append(*es, d.wrongType(n, t, path))
		}
	case t.Kind() == reflect.Slice && !readsText:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			*es = append(*es, d.wrongType(n, t, path))
			return
		}
		for i, v := range seq.Values {
			d.compare(v, t.Elem(), path.Index(i), es)
		}
	default:
		if err := yaml.NodeToValue(n, reflect.New(t).Interface()); err != nil {
			*es = append(*es, d.badValue(n, path, err))
		}
	}
}

func (d *Document) wrongType(n ast.Node, t reflect.Type, path field.Path) *Error {
	return d.at(n, field.Error{
		Path:    path,
		Problem: fmt.Sprintf("want %s, found %s", typeName(t), nodeName(n)),
		Cure:    typeCure(t, n),
	})
}

// badValue explains why a single value does not decode.
func (d *Document) badValue(n ast.Node, path field.Path, err error) *Error {
	var mismatch *yaml.TypeError
	if errors.As(err, &mismatch) {
		return d.wrongType(n, mismatch.DstType, path)
	}
	problem := firstLine(err.Error())
	var y yaml.Error
	if errors.As(err, &y) {
		problem = firstLine(y.GetMessage())
	}
	return d.at(n, field.Error{Path: path, Problem: problem})
}

// compareFields compares the keys of a mapping with the fields of a struct.
func (d *Document) compareFields(n ast.Node, t reflect.Type, path field.Path, es *Errors) {
	known := fieldsOf(t)
	seen := make(map[string]bool)
	for _, pair := range pairs(bare(n)) {
		name := keyName(pair)
		f, ok := known[name]
		switch {
		case !ok:
			*es = append(*es, d.at(pair.Key, field.Error{Path: path.Key(name), Problem: "unknown key", Cure: suggest(name, known)}))
		case seen[name]:
			*es = append(*es, d.at(pair.Key, field.Error{Path: path.Key(name), Problem: "the key comes twice", Cure: "keep one of them"}))
		default:
			d.compare(pair.Value, f, path.Key(name), es)
		}
		seen[name] = true
	}
}

func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	default:
		return nil
	}
}

// fieldsOf returns the keys of a struct by its yaml tags, inlined structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	known := make(map[string]reflect.Type)
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(options, "inline"):
			inlined := f.Type
			for inlined.Kind() == reflect.Pointer {
				inlined = inlined.Elem()
			}
			for k, v := range fieldsOf(inlined) {
				known[k] = v
			}
		case name == "":
			known[strings.ToLower(f.Name)] = f.Type
		default:
			known[name] = f.Type
		}
	}
	return known
}

// suggest names the known key that is nearest to a wrong one, or all of them.
func suggest(name string, known map[string]reflect.Type) string {
	var names []string
	best, distance := "", 3
	for k := range known {
		names = append(names, k)
		if d := editDistance(name, k); d < distance || d == distance && k < best {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	slices.Sort(names)
	return "known here: " + strings.Join(names, ", ")
}

// editDistance is Levenshtein's, on bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// typeName names the wanted type in a user's words.
func typeName(t reflect.Type) string {
	if t == nil {
		return "nothing"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a mapping (key: value)"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return t.String()
	}
}

func typeCure(t reflect.Type, n ast.Node) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.String:
		switch n.(type) {
		case *ast.MappingNode, *ast.MappingValueNode: // [host:1] within { } is read as one, say
			return `put text with a colon in quotes, such as "host:1234"`
		}
		return ""
	case reflect.Slice:
		return "write a list: [a, b], or one element a line, each after a hyphen"
	case reflect.Bool:
		return "write true or false without quotes"
	case reflect.Struct, reflect.Map:
		return "indent the keys that belong below it"
	default:
		return ""
	}
}

// nodeName names the type of the value that is there, in a user's words.
func nodeName(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping (key: value)"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	default:
		return "text"
	}
}
