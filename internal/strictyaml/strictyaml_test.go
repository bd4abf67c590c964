package strictyaml_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/internal/strictyaml"
)

type broker struct {
	URL     string        `yaml:"url"`
	Timeout time.Duration `yaml:"timeout"`
	Create  bool          `yaml:"create"`
	Retries int           `yaml:"retries"`
}

type config struct {
	Dir   string   `yaml:"data_dir"`
	Tags  []string `yaml:"tags"`
	Sinks []struct {
		Name string  `yaml:"name"`
		NATS *broker `yaml:"nats"`
	} `yaml:"sinks"`
}

func load(t *testing.T, text string) (config, error) {
	t.Helper()
	c := config{Dir: "/default"}
	doc, err := strictyaml.Parse("v.yaml", []byte(text))
	if err != nil {
		return c, err
	}
	env := map[string]string{"HOST": "kvm01", "TRICKY": "${HOST}: x # y"}
	if err := doc.Expand(func(n string) (string, bool) { v, ok := env[n]; return v, ok }); err != nil {
		return c, err
	}
	err = doc.Decode(&c)
	return c, err
}

func TestDecode(t *testing.T) {
	got, err := load(t, `
# ${UNSET} in a comment is nobody's business
sinks:
  - name: bus
    nats: {url: "nats://${HOST}:4222", timeout: 250ms, create: true, retries: 3}
  - name: "$$5 and $ and $x"
tags: ["${TRICKY}"]
`)
	if err != nil {
		t.Fatal(err)
	}
	if got.Dir != "/default" {
		t.Errorf("an absent key changed its default to %q", got.Dir)
	}
	want := broker{URL: "nats://kvm01:4222", Timeout: 250 * time.Millisecond, Create: true, Retries: 3}
	if diff := cmp.Diff(want, *got.Sinks[0].NATS); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := got.Sinks[1].Name, "$5 and $ and $x"; got != want {
		t.Errorf("got name %q, want %q", got, want)
	}
	if got, want := got.Tags[0], "${HOST}: x # y"; got != want {
		t.Errorf("got tag %q, want %q: values are expanded once, after parsing", got, want)
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty file", "", nil},
		{"syntax", "sinks: [a", []string{"v.yaml:1:8: "}},
		{"tab", "sinks:\n\t- name: x\n", []string{"v.yaml:2:1: "}},
		{"unknown key", "data_dri: /x\n", []string{`v.yaml:1:1: data_dri: unknown key; did you mean "data_dir"?`}},
		{
			"unknown keys deep, all at once", "sinks:\n  - name: a\n    nats:\n      uri: x\n      colour: red\n",
			[]string{
				`v.yaml:4:7: sinks[0].nats.uri: unknown key; did you mean "url"?`,
				`v.yaml:5:7: sinks[0].nats.colour: unknown key; known here: create, retries, timeout, url`,
			},
		},
		{"repeated key", "data_dir: /x\ndata_dir: /y\n", []string{"v.yaml:2:1: "}},
		{"wrong type", "tags: 5\n", []string{"v.yaml:1:7: tags: want a list, found a number; write a list"}},
		{"wrong scalar", "sinks:\n  - nats: {create: maybe}\n", []string{"v.yaml:2:20: sinks[0].nats.create: want true or false, found text; write true or false"}},
		{
			"a colon without quotes within braces", "sinks:\n  - {name: kvm01:4222}\ntags: [{a: b}]\n",
			[]string{`v.yaml:3:9: tags[0]: want text, found a mapping (key: value); put text with a colon in quotes, such as "host:1234"`},
		},
		{"not a number", "sinks:\n  - nats: {retries: x}\n", []string{"v.yaml:2:21: sinks[0].nats.retries: want a whole number, found text"}},
		{"no such duration", "sinks:\n  - nats: {timeout: 5 parsecs}\n", []string{`v.yaml:2:21: sinks[0].nats.timeout: time: unknown unit " parsecs"`}},
		{
			"missing variables", "data_dir: ${NO}\ntags: [\"${NOPE} ${HOST\", \"${a b}\"]\n",
			[]string{
				"v.yaml:1:11: the environment variable NO is not set; set it, or write $$ for a dollar sign",
				"v.yaml:2:8: the environment variable NOPE is not set",
				`v.yaml:2:8: "${HOST" has no closing brace`,
				`v.yaml:2:26: "${a b}" is no variable's name`,
			},
		},
		{"two documents", "data_dir: /x\n---\ndata_dir: /y\n", []string{"v.yaml:3:"}},
		{"a list at the top", "- a\n", []string{"v.yaml:1:1: want a mapping (key: value), found a list"}},
		{"text at the top", "hello\n", []string{"v.yaml:1:1: want a mapping (key: value), found text"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			if tt.want == nil {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			if err == nil {
				t.Fatal("got no error")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(tt.want) {
				t.Fatalf("got %d lines, want %d:\n%s", len(got), len(tt.want), err)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("line %d\n got %s\nwant %s…", i, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestLocate(t *testing.T) {
	doc, err := strictyaml.Parse("v.yaml", []byte("sinks:\n  - name: a\n  - name: b\n    nats:\n      url: ftp://x\n"))
	if err != nil {
		t.Fatal(err)
	}
	var faults field.Faults
	path := field.Path("sinks").Index(1)
	faults.Add(path.Key("nats").Key("url"), "write nats://host:port", "scheme %q is not NATS's", "ftp")
	faults.Add(path.Key("nats").Key("stream"), "name one", "no stream")
	faults.Join(errors.New("something else"))
	got := doc.Locate(faults.Err()).Error()
	want := `v.yaml: something else
v.yaml:4:5: sinks[1].nats.stream: no stream; name one
v.yaml:5:12: sinks[1].nats.url: scheme "ftp" is not NATS's; write nats://host:port`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// FuzzDecode checks that no file makes the loader panic, and that what it
// accepts is free of unexpanded references.
func FuzzDecode(f *testing.F) {
	f.Add("data_dir: /x\nsinks:\n  - name: a\n    nats: {url: \"${HOST}\", timeout: 5s}\n")
	f.Add("a: &x [1, *x]\n<<: *x\n? [a]\n: b\n--- |\n x\n")
	f.Add("!!binary x: >-\n  ${HOST}\n")
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := strictyaml.Parse("v.yaml", []byte(text))
		if err != nil {
			return
		}
		if doc.Expand(func(string) (string, bool) { return "v", true }) != nil {
			return
		}
		var c config
		if err := doc.Decode(&c); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
