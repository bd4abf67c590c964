package main

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	const (
		pass     = `{"Action":"output","Package":"p","Test":"A","Output":"    a.go:1: quiet\n"}{"Action":"pass","Package":"p","Test":"A"}`
		skipped  = `{"Action":"output","Package":"p","Test":"S","Output":"    s.go:1: no libvirtd\n"}{"Action":"output","Package":"p","Test":"S","Output":"--- SKIP: S (0.00s)\n"}{"Action":"skip","Package":"p","Test":"S"}`
		fail     = `{"Action":"output","Package":"p","Test":"F","Output":"    f.go:1: broken\n"}{"Action":"fail","Package":"p","Test":"F"}`
		hang     = `{"Action":"output","Package":"p","Test":"H","Output":"panic: test timed out\n"}`
		ok       = `{"Action":"output","Package":"p","Output":"PASS\n"}{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}{"Action":"pass","Package":"p"}`
		notOK    = `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}{"Action":"fail","Package":"p"}`
		noBuild  = `{"Action":"build-output","ImportPath":"p","Output":"p.go:1: syntax error\n"}{"Action":"build-fail","ImportPath":"p"}{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}{"Action":"fail","Package":"p"}`
		short    = `{"Action":"output","Package":"p","Test":"Q","Output":"    q.go:1: left out of make quick: it starts kafka\n"}{"Action":"skip","Package":"p","Test":"Q"}`
		command  = `{"Action":"fail","Package":"go test"}`
		strayOut = "go: downloading example.com/m v1.0.0"
	)
	for _, tc := range []struct {
		name   string
		events []string
		ci     bool
		want   string
		ok     bool
	}{
		{"a passed test is quiet", []string{pass, ok}, true, "ok  \tp\t0.1s\t1 passed, 0 failed\ntests: 1 passed, 0 failed, 0 skipped\n", true},
		{
			"a skipped test is named",
			[]string{skipped, ok},
			false,
			"ok  \tp\t0.1s\t0 passed, 0 failed, 1 skipped\ntests: 0 passed, 0 failed, 1 skipped\nSKIP p S: s.go:1: no libvirtd\n", true,
		},
		{
			"a skipped test fails CI",
			[]string{skipped, ok},
			true,
			"ok  \tp\t0.1s\t0 passed, 0 failed, 1 skipped\ntests: 0 passed, 0 failed, 1 skipped\nSKIP p S: s.go:1: no libvirtd\n" +
				"FAIL: tests were skipped, and nothing may be skipped where CI=true\n", false,
		},
		{
			"tests that make quick leaves out are counted",
			[]string{pass, short, ok},
			true,
			"ok  \tp\t0.1s\t1 passed, 0 failed, 1 skipped\ntests: 1 passed, 0 failed, 1 skipped\n" +
				"left out: 1 tests that start servers or take long; make test runs them\n", true,
		},
		{
			"a failed test prints its output",
			[]string{pass, fail, notOK},
			false,
			"    f.go:1: broken\nFAIL\tp\t0.1s\t1 passed, 1 failed\ntests: 1 passed, 1 failed, 0 skipped\nFAIL p F\nFAIL p\n", false,
		},
		{
			"the output of a test that never ended",
			[]string{hang, notOK},
			false,
			"FAIL\tp\t0.1s\t0 passed, 0 failed\npanic: test timed out\ntests: 0 passed, 1 failed, 0 skipped\nFAIL p\n", false,
		},
		{
			"a failed build",
			[]string{noBuild},
			false,
			"p.go:1: syntax error\nFAIL\tp [build failed]\ntests: 0 passed, 1 failed, 0 skipped\nFAIL build of p\nFAIL p\n", false,
		},
		{
			"go test failed for a reason that has a name",
			[]string{fail, notOK, command},
			false,
			"    f.go:1: broken\nFAIL\tp\t0.1s\t0 passed, 1 failed\ntests: 0 passed, 1 failed, 0 skipped\nFAIL p F\nFAIL p\n", false,
		},
		{
			"go test failed without a word",
			[]string{pass, ok, command},
			false,
			"ok  \tp\t0.1s\t1 passed, 0 failed\ntests: 1 passed, 1 failed, 0 skipped\nFAIL go test\n", false,
		},
		{"other lines pass through", []string{strayOut}, false, strayOut + "\ntests: 0 passed, 0 failed, 0 skipped\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := strings.ReplaceAll(strings.Join(tc.events, "\n"), "}{", "}\n{") + "\n"
			var out bytes.Buffer
			ok, err := run(strings.NewReader(in), &out, filepath.Join(t.TempDir(), "log"), tc.ci)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tc.ok {
				t.Errorf("got ok %v, want %v", ok, tc.ok)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// Packages are reported as they end, and what runs for more than a minute is named each
// minute.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, feed := io.Pipe()
		var out bytes.Buffer
		defer func() { _ = feed.Close() }() // where the test has failed
		r := newReport(&out, io.Discard)
		done := make(chan error)
		go func() { done <- r.read(in) }()
		var want string
		step := func(wait time.Duration, printed string, events ...string) {
			t.Helper()
			for _, e := range events {
				if _, err := io.WriteString(feed, e+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(wait)
			synctest.Wait()
			want += printed
			if diff := cmp.Diff(want, out.String()); diff != "" {
				t.Fatalf("output (-want +got):\n%s", diff)
			}
		}
		step(61*time.Second, "no test is running: packages have been building for 1m0s\n")
		step(60*time.Second, "", // after 59 s nothing is named yet
			`{"Action":"start","Package":"p"}`, `{"Action":"run","Package":"p","Test":"A"}`, `{"Action":"run","Package":"p","Test":"A/b"}`,
			`{"Action":"run","Package":"p","Test":"P"}`, `{"Action":"pause","Package":"p","Test":"P"}`, `{"Action":"start","Package":"q"}`)
		step(60*time.Second, "ok  \tq\t0.1s\t0 passed, 0 failed\nstill running: p for 1m59s\nstill running:     A/b for 1m59s\n",
			`{"Action":"output","Package":"q","Output":"ok  \tq\t0.1s\n"}`, `{"Action":"pass","Package":"q"}`)
		step(60*time.Second, "still running: p for 2m59s\n",
			`{"Action":"pass","Package":"p","Test":"A/b"}`, `{"Action":"pass","Package":"p","Test":"A"}`, `{"Action":"cont","Package":"p","Test":"P"}`)
		step(0, "ok  \tp\t181s\t3 passed, 0 failed\n",
			`{"Action":"pass","Package":"p","Test":"P"}`, `{"Action":"output","Package":"p","Output":"ok  \tp\t181s\n"}`, `{"Action":"pass","Package":"p"}`)
		if err := feed.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
