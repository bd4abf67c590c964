package strictyaml

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/virtcast/virtcast/internal/field"
)

// reference matches $$, ${…} closed or not. A dollar sign before anything else
// is itself.
var reference = regexp.MustCompile(`\$\$|\$\{[^}]*\}?`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Expand replaces ${NAME} in every text value by the value that lookup returns for NAME,
// and $$ by $. Keys and comments are left alone, and inserted values are not expanded
// again. Every variable that is missing is reported.
func (d *Document) Expand(lookup func(name string) (string, bool)) error {
	if d.root == nil {
		return nil
	}
	var es Errors
	ast.Walk(expander{d: d, lookup: lookup, es: &es}, d.root)
	return sorted(es)
}

type expander struct {
	d      *Document
	lookup func(string) (string, bool)
	es     *Errors
}

// Visit implements ast.Visitor.
func (x expander) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.MappingValueNode:
		ast.Walk(x, n.Value) // not the key
		return nil
	case *ast.StringNode:
		n.Value = reference.ReplaceAllStringFunc(n.Value, func(ref string) string { return x.replace(n, ref) })
	}
	return x
}

func (x expander) replace(n *ast.StringNode, ref string) string {
	if ref == "$$" {
		return "$"
	}
	name := strings.TrimSuffix(strings.TrimPrefix(ref, "${"), "}")
	fault := field.Error{}
	switch {
	case !strings.HasSuffix(ref, "}"):
		fault.Problem, fault.Cure = fmt.Sprintf("%q has no closing brace", ref), "write ${NAME}, or $$ for a dollar sign"
	case !variableName.MatchString(name):
		fault.Problem, fault.Cure = fmt.Sprintf("%q is no variable's name", ref), "write ${NAME} with letters, digits and underscores, or $$ for a dollar sign"
	default:
		if value, ok := x.lookup(name); ok {
			return value
		}
		fault.Problem, fault.Cure = fmt.Sprintf("the environment variable %s is not set", name), "set it, or write $$ for a dollar sign"
	}
	*x.es = append(*x.es, x.d.at(n, fault))
	return ref
}
