package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

const (
	// maxLine bounds one line of a test's output.
	maxLine = 16 << 20
	// leftOut is in the reason of a test that go test -short skips.
	leftOut = "left out of make quick"
	// goTest is the package of which the Makefile says that it failed, if go test did.
	goTest = "go test"
)

// testEvent is a line of go test -json: see go doc test2json.
type testEvent struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Output     string
}

// testID names a test; Name is empty for the output of a package outside its tests.
type testID struct{ Package, Name string }

// tally counts the tests of a package, or of all packages.
type tally struct{ passed, failed, skipped int }

func (t tally) String() string {
	text := fmt.Sprintf("%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		text += fmt.Sprintf(", %d skipped", t.skipped)
	}
	return text
}

// report is what was read so far.
type report struct {
	out, log io.Writer
	// pending is the output of tests that have not ended.
	pending  map[testID]*strings.Builder
	packages map[string]*tally
	running  running
	skipped  []skip
	leftOut  int // skipped too, but counted only
	failed   []string
	err      error // the first error of a write
}

type skip struct {
	test   testID
	reason string
}

func newReport(out, log io.Writer) *report {
	return &report{
		out: out, log: log, pending: map[testID]*strings.Builder{}, packages: map[string]*tally{},
		running: running{since: map[testID]time.Time{}, last: time.Now()},
	}
}

// read reads events until the end of in, and names every minute what runs for long. Lines
// that are no events are passed through.
func (r *report) read(in io.Reader) error {
	lines := make(chan []byte)
	var scanned error
	go func() { // ends with in, which is read to its end below
		defer close(lines)
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			lines <- append([]byte(nil), s.Bytes()...)
		}
		scanned = s.Err()
	}()
	minute := time.NewTicker(longRun)
	defer minute.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				if r.err == nil {
					r.err = scanned
				}
				return r.err
			}
			r.line(line)
		case now := <-minute.C:
			r.print(r.running.slow(now))
		}
	}
}

func (r *report) line(line []byte) {
	var e testEvent
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		r.print(string(line) + "\n")
		return
	}
	r.running.note(e, time.Now())
	r.add(e)
}

func (r *report) add(e testEvent) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.write(r.log, e.Output)
		switch {
		case e.Test != "":
			r.buffer(id).WriteString(e.Output)
		case e.Output != "PASS\n":
			r.print(r.counted(e))
		}
	case "build-output":
		r.print(e.Output)
	case "build-fail":
		r.failed = append(r.failed, "build of "+e.ImportPath)
	case "pass":
		if e.Test != "" {
			r.tally(e.Package).passed++
		}
		delete(r.pending, id)
	case "skip":
		if e.Test != "" {
			r.skip(id)
		}
		delete(r.pending, id)
	case "fail":
		r.fail(id)
	}
}

// counted returns what a package printed; the line with its result gets the numbers of
// tests.
func (r *report) counted(e testEvent) string {
	line := strings.TrimSuffix(e.Output, "\n")
	result := strings.HasPrefix(line, "ok  \t"+e.Package) || strings.HasPrefix(line, "FAIL\t"+e.Package)
	if !result || strings.HasSuffix(line, "]") { // [build failed], [no tests to run]
		return e.Output
	}
	return line + "\t" + r.tally(e.Package).String() + "\n"
}

func (r *report) skip(id testID) {
	r.tally(id.Package).skipped++
	why := reason(r.buffer(id).String())
	if strings.Contains(why, leftOut) {
		r.leftOut++
		return
	}
	r.skipped = append(r.skipped, skip{id, why})
}

// fail prints the output of a failed test; of a failed package, that of its unfinished
// tests.
func (r *report) fail(id testID) {
	if id.Name != "" {
		r.tally(id.Package).failed++
		r.failed = append(r.failed, id.Package+" "+id.Name)
		r.print(r.buffer(id).String())
		delete(r.pending, id)
		return
	}
	if id.Package == goTest && len(r.failed) > 0 {
		return // its failure has a name already
	}
	if t := r.tally(id.Package); t.failed == 0 {
		t.failed++ // it was not built, or a test never ended
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

func (r *report) tally(pkg string) *tally {
	t, ok := r.packages[pkg]
	if !ok {
		t = &tally{}
		r.packages[pkg] = t
	}
	return t
}

// summary prints the end of the report, and reports whether all is well.
func (r *report) summary(ci bool) (ok bool, err error) {
	sort.Slice(r.skipped, func(i, j int) bool {
		a, b := r.skipped[i].test, r.skipped[j].test
		return a.Package < b.Package || a.Package == b.Package && a.Name < b.Name
	})
	var all tally
	for _, t := range r.packages {
		all.passed, all.failed, all.skipped = all.passed+t.passed, all.failed+t.failed, all.skipped+t.skipped
	}
	r.print(fmt.Sprintf("tests: %d passed, %d failed, %d skipped\n", all.passed, all.failed, all.skipped))
	if r.leftOut > 0 {
		r.print(fmt.Sprintf("left out: %d tests that start servers or take long; make test runs them\n", r.leftOut))
	}
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

// reason returns the message of a skipped test, in one line.
func reason(output string) string {
	var message []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			message = append(message, line)
		}
	}
	if len(message) == 0 {
		return "no reason given"
	}
	return strings.Join(message, " ")
}
