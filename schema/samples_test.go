package schema

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the samples again")

// TestSamples holds the wire form: the files under samples are what is written, to the
// byte, save for line breaks and indentation.
func TestSamples(t *testing.T) {
	want := make(map[string]bool)
	for _, test := range testEvents() {
		path := filepath.Join("samples", test.name+".json")
		want[path] = true
		var got bytes.Buffer
		if err := json.Indent(&got, AppendJSON(nil, &test.event), "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		sample, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(sample), got.String()); diff != "" {
			t.Errorf("%s, written again with -update (-want +got):\n%s", path, diff)
		}
		if event, err := Decode(sample); err != nil || !cmp.Equal(event, test.event) {
			t.Errorf("%s decodes to %+v, %v", path, event, err)
		}
	}
	files, err := filepath.Glob("samples/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !want[filepath.Clean(file)] {
			t.Errorf("%s belongs to no event of the tests", file)
		}
	}
}

func compileSchema(t *testing.T, url string, document []byte) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource(url, value); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSamplesMatchTheirSchemas(t *testing.T) {
	checked := make(map[string]int)
	for _, test := range testEvents() {
		url := attributesOf(&test.event)["dataschema"]
		if url == "" {
			if test.event.Kind.row() != nil {
				t.Errorf("%s: no dataschema", test.name)
			}
			continue
		}
		document, ok := JSONSchema(url)
		if !ok {
			t.Errorf("%s: no schema %q", test.name, url)
			continue
		}
		checked[url]++
		data, err := jsonschema.UnmarshalJSON(bytes.NewReader(AppendData(nil, &test.event)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compileSchema(t, url, document).Validate(data); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	files, err := fs.Glob(schemaFiles, "jsonschema/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		url := schemaBase + strings.TrimPrefix(file, "jsonschema/")
		document, ok := JSONSchema(url)
		var head struct {
			ID string `json:"$id"`
		}
		if err := json.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		if !ok || head.ID != url || checked[url] == 0 {
			t.Errorf("%s has $id %q and was checked %d times", file, head.ID, checked[url])
		}
	}
	for _, url := range []string{"", "https://example.com/x.json", schemaBase + "none.json", schemaBase + "../jsonschema.go"} {
		if _, ok := JSONSchema(url); ok {
			t.Errorf("there is a schema %q", url)
		}
	}
}

// TestSchemasRefuse holds that the schemas say something.
func TestSchemasRefuse(t *testing.T) {
	for _, event := range []Event{lifecycleEvent(2, 0), gapEvent(), stateEvent(State{Valid: true, Code: StateUnknown})} {
		url := event.Kind.row().schema
		document, _ := JSONSchema(url)
		schema := compileSchema(t, url, document)
		data := membersOf(t, event)["data"].(map[string]any)
		if err := schema.Validate(data); err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(data)) {
			without, wrong := maps.Clone(data), maps.Clone(data)
			delete(without, name)
			wrong[name] = []any{}
			if schema.Validate(without) == nil || schema.Validate(wrong) == nil {
				t.Errorf("%s: %q may be absent or of another type", url, name)
			}
		}
	}
}

// TestAsyncAPIDescribesTheSamples validates whole events against the messages of the
// AsyncAPI document.
func TestAsyncAPIDescribesTheSamples(t *testing.T) {
	document, err := yaml.YAMLToJSON([]byte(AsyncAPI()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	resources := map[string][]byte{schemaBase + "asyncapi.yaml": document}
	for url, of := range map[string]string{"domain.lifecycle.v1.json": SchemaLifecycle, "connection.gap.v1.json": SchemaGap, "domain.state.v1.json": SchemaState} {
		resources[schemaBase+"jsonschema/"+url], _ = JSONSchema(of)
	}
	for url, text := range resources {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(url, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range testEvents() {
		var message string
		switch test.event.Kind {
		case KindLifecycle:
			message = "lifecycle"
		case KindGap:
			message = "gap"
		case KindState:
			message = "state"
		default:
			continue
		}
		schema, err := compiler.Compile(schemaBase + "asyncapi.yaml#/components/messages/" + message + "/payload")
		if err != nil {
			t.Fatal(err)
		}
		event, err := jsonschema.UnmarshalJSON(bytes.NewReader(AppendJSON(nil, &test.event)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(event); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		delete(event.(map[string]any), "sequence")
		if schema.Validate(event) == nil {
			t.Errorf("%s: an event without a sequence is valid", test.name)
		}
	}
}
