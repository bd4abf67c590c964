package schema

import (
	"embed"
	"io/fs"
	"strings"
)

// The dataschema attribute of each kind's data: the $id of its JSON Schema. They are
// identifiers and need not resolve; [JSONSchema] has the documents.
const (
	schemaBase      = "https://virtcast.github.io/schema/"
	SchemaLifecycle = schemaBase + "domain.lifecycle.v1.json"
	SchemaState     = schemaBase + "domain.state.v1.json"
	SchemaGap       = schemaBase + "connection.gap.v1.json"
)

//go:embed jsonschema/*.json
var schemaFiles embed.FS

// JSONSchema returns the JSON Schema (draft 2020-12) that a dataschema attribute
// names, or false where it is none of this version's.
func JSONSchema(dataschema string) ([]byte, bool) {
	name, ok := strings.CutPrefix(dataschema, schemaBase)
	if !ok {
		return nil, false
	}
	document, err := fs.ReadFile(schemaFiles, "jsonschema/"+name)
	return document, err == nil
}

//go:embed asyncapi.yaml
var asyncAPI string

// AsyncAPI returns the AsyncAPI 3.0 document of the messages: subjects, topic, headers,
// data.
func AsyncAPI() string { return asyncAPI }
