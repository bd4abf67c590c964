package schema

// The dataschema attribute of each kind's data: the $id of its JSON Schema. They are
// identifiers; the documents come with this package.
const (
	SchemaLifecycle = "https://virtcast.github.io/schema/domain.lifecycle.v1.json"
	SchemaGap       = "https://virtcast.github.io/schema/connection.gap.v1.json"
)
