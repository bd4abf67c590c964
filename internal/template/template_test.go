package template

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var names = []string{"connection", "kind"}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		text  string
		parts []Part
		made  string // with the values C and K
		err   string
	}{
		"empty":       {text: ""},
		"fixed":       {text: "virt.events", parts: []Part{{"virt.events", Literal}}, made: "virt.events"},
		"placeholder": {text: "{kind}", parts: []Part{{"kind", 1}}, made: "K"},
		"side by side": {
			text: "{kind}{connection}", parts: []Part{{"kind", 1}, {"connection", 0}}, made: "KC",
		},
		"mixed": {
			text:  "é.{connection}-{kind}.x",
			parts: []Part{{"é.", Literal}, {"connection", 0}, {"-", Literal}, {"kind", 1}, {".x", Literal}},
			made:  "é.C-K.x",
		},
		"only open":    {text: "virt.{kind", err: `"virt.{kind" has a { without a } at character 6`},
		"open in open": {text: "é{a{kind}", err: `"é{a{kind}" has a { without a } at character 2`},
		"only close":   {text: "é}", err: `"é}" has a } without a { at character 2`},
		"unknown": {
			text: "a.{kid}",
			err:  `"a.{kid}" has the unknown placeholder {kid} (known: {connection}, {kind}) at character 3`,
		},
		"no name": {text: "{}", err: `"{}" has the unknown placeholder {} (known: {connection}, {kind}) at character 1`},
		"line":    {text: "{a\n}", err: `"{a\n}" has the unknown placeholder {a\n} (known: {connection}, {kind}) at character 1`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.text, names...)
			if err != nil || tc.err != "" {
				var e *Error
				if err == nil || err.Error() != tc.err || !errors.As(err, &e) {
					t.Fatalf("got error %v, want %q", err, tc.err)
				}
				return
			}
			if diff := cmp.Diff(tc.parts, got.Parts()); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			if made := string(got.Append(nil, letters)); made != tc.made {
				t.Errorf("made %q, want %q", made, tc.made)
			}
			text, fixed := got.Fixed()
			if want := !strings.Contains(tc.text, "{"); fixed != want || fixed && text != tc.text {
				t.Errorf("Fixed: got %q, %t, want %t", text, fixed, want)
			}
			if got.String() != tc.text {
				t.Errorf("String: got %q, want %q", got, tc.text)
			}
		})
	}
	if _, err := Parse("{a}"); err == nil || err.Error() != `"{a}" has the unknown placeholder {a} at character 1` {
		t.Errorf("without names: got error %v", err)
	}
}

func letters(dst []byte, name int) []byte { return append(dst, "CK"[name]) }

func TestAppendAllocatesNothing(t *testing.T) {
	template, err := Parse("virt.{connection}.{kind}", names...)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 64)
	values := []string{"kvm1", "lifecycle"}
	if n := testing.AllocsPerRun(100, func() {
		dst = template.Append(dst[:0], func(dst []byte, name int) []byte { return append(dst, values[name]...) })
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if string(dst) != "virt.kvm1.lifecycle" {
		t.Errorf("got %q", dst)
	}
}

// FuzzParse: what parses is made of its parts; what does not names a place in the text,
// in one line.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"virt.{connection}.{kind}", "{", "}", "{{kind}}", "{}", "a\n{b}", "\xff{kind}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text, names...)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Text != text || !strings.ContainsRune("{}", rune(text[e.At])) {
				t.Errorf("%q: error %v names no brace", text, err)
			}
			if strings.ContainsAny(err.Error(), "\n\r") || !utf8.ValidString(err.Error()) {
				t.Errorf("%q: error %q is not one line", text, err)
			}
			return
		}
		same := string(got.Append(nil, func(dst []byte, name int) []byte { return append(dst, "{"+names[name]+"}"...) }))
		if same != text {
			t.Errorf("%q is made of parts that are %q", text, same)
		}
		for i, p := range got.Parts() {
			if p.Text == "" || i > 0 && p.Name == Literal && got.Parts()[i-1].Name == Literal {
				t.Errorf("%q has an empty part, or two texts side by side: %+v", text, got.Parts())
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	template, err := Parse("virt.{connection}.{kind}", names...)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var dst []byte
	values := []string{"kvm1", "lifecycle"}
	for b.Loop() {
		dst = template.Append(dst[:0], func(dst []byte, name int) []byte { return append(dst, values[name]...) })
	}
}
