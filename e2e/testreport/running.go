package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// longRun is how long a package or a test runs before it is named, and how often it is.
const longRun = time.Minute

// running knows the packages (as tests without a name) and the tests that run, and since
// when.
type running struct {
	since map[testID]time.Time
	last  time.Time // of the latest event
}

// note notes which tests an event starts or ends. A paused test waits for its turn to run
// in parallel with others.
func (r *running) note(e testEvent, now time.Time) {
	r.last = now
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "start", "run", "cont":
		r.since[id] = now
	case "pause", "pass", "fail", "skip":
		delete(r.since, id)
	}
}

// slow returns a line for each package that has been running for long, with those of its
// tests that have.
func (r *running) slow(now time.Time) string {
	var slow []testID
	packages := false
	for id, since := range r.since {
		packages = packages || id.Name == ""
		if now.Sub(since) >= longRun {
			slow = append(slow, id)
		}
	}
	slices.SortFunc(slow, func(a, b testID) int {
		return strings.Compare(a.Package+"\n"+a.Name, b.Package+"\n"+b.Name)
	})
	var text strings.Builder
	for i, id := range slow {
		since := fmt.Sprintf("%s for %v", cmp.Or(id.Name, id.Package), now.Sub(r.since[id]).Round(time.Second))
		switch {
		case id.Name == "":
			fmt.Fprintf(&text, "still running: %s\n", since)
		case i+1 < len(slow) && slow[i+1].Package == id.Package && strings.HasPrefix(slow[i+1].Name, id.Name+"/"):
			// its subtest is named
		default:
			fmt.Fprintf(&text, "still running:     %s\n", since)
		}
	}
	if waited := now.Sub(r.last); !packages && waited >= longRun {
		fmt.Fprintf(&text, "no test is running: packages have been building for %v\n", waited.Round(time.Second))
	}
	return text.String()
}
