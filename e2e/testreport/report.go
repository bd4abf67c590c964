package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
)

// maxLine bounds one line of a test's output.
const maxLine = 16 << 20

// testEvent is what go test -json prints: see go doc test2json.
type testEvent struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// testID names a test; Name is empty for what a package says outside its tests.
type testID struct{ Package, Name string }

// report is what was read so far.
type report struct {
	out, log io.Writer
	// pending is the output of tests that have not ended.
	pending map[testID]*strings.Builder
	skipped []skip
	passed  int
	failed  []string
	err     error // the first error of a write
}

type skip struct {
	test   testID
	reason string
}

func newReport(out, log io.Writer) *report {
	return &report{out: out, log: log, pending: map[testID]*strings.Builder{}}
}

// read reads events until the end of in. Lines that are none are passed through.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e testEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Action == "" {
			r.print(lines.Text() + "\n")
			continue
		}
		r.add(e)
	}
	if r.err == nil {
		r.err = lines.Err()
	}
	return r.err
}

func (r *report) add(e testEvent) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.write(r.log, e.Output)
		if e.Test != "" {
			r.buffer(id).WriteString(e.Output)
		} else if e.Output != "PASS\n" {
			r.print(e.Output)
		}
	case "build-output":
		r.print(e.Output)
	case "build-fail":
		r.failed = append(r.failed, "build of "+e.Package)
	case "pass":
		if e.Test != "" {
			r.passed++
		}
		delete(r.pending, id)
	case "skip":
		if e.Test != "" {
			r.skipped = append(r.skipped, skip{id, reason(r.buffer(id).String())})
		}
		delete(r.pending, id)
	case "fail":
		r.fail(id)
	}
}

// fail prints what a failed test said; of a failed package, what its unfinished tests said.
func (r *report) fail(id testID) {
	if id.Name != "" {
		r.failed = append(r.failed, id.Package+" "+id.Name)
		r.print(r.buffer(id).String())
		delete(r.pending, id)
		return
	}
	r.failed = append(r.failed, id.Package)
	for other, text := range r.pending {
		if other.Package == id.Package {
			r.print(text.String())
			delete(r.pending, other)
		}
	}
}

func (r *report) buffer(id testID) *strings.Builder {
	b, ok := r.pending[id]
	if !ok {
		b = &strings.Builder{}
		r.pending[id] = b
	}
	return b
}

// summary prints the end of the report and says whether all is well.
func (r *report) summary(ci bool) (ok bool, err error) {
	sort.Slice(r.skipped, func(i, j int) bool {
		a, b := r.skipped[i].test, r.skipped[j].test
		return a.Package < b.Package || a.Package == b.Package && a.Name < b.Name
	})
	r.print(fmt.Sprintf("tests: %d passed, %d skipped\n", r.passed, len(r.skipped)))
	for _, s := range r.skipped {
		r.print(fmt.Sprintf("SKIP %s %s: %s\n", s.test.Package, s.test.Name, s.reason))
	}
	for _, name := range r.failed {
		r.print("FAIL " + name + "\n")
	}
	ok = len(r.failed) == 0
	if ci && len(r.skipped) > 0 {
		r.print("FAIL: tests were skipped, and nothing may be skipped where CI=true\n")
		ok = false
	}
	return ok, r.err
}

func (r *report) print(text string) { r.write(r.out, text) }

func (r *report) write(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil && r.err == nil {
		r.err = err
	}
}

// reason returns what a skipped test said, in one line.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
