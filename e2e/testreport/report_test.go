package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

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
		noBuild  = `{"Action":"build-output","ImportPath":"p","Output":"p.go:1: syntax error\n"}{"Action":"fail","Package":"p"}`
		strayOut = "go: downloading example.com/m v1.0.0"
	)
	for _, tc := range []struct {
		name   string
		events []string
		ci     bool
		want   string
		ok     bool
	}{
		{"a passed test is quiet", []string{pass, ok}, true, "ok  \tp\t0.1s\ntests: 1 passed, 0 skipped\n", true},
		{
			"a skipped test is named",
			[]string{skipped, ok},
			false,
			"ok  \tp\t0.1s\ntests: 0 passed, 1 skipped\nSKIP p S: s.go:1: no libvirtd\n", true,
		},
		{
			"a skipped test fails CI",
			[]string{skipped, ok},
			true,
			"ok  \tp\t0.1s\ntests: 0 passed, 1 skipped\nSKIP p S: s.go:1: no libvirtd\n" +
				"FAIL: tests were skipped, and nothing may be skipped where CI=true\n", false,
		},
		{
			"a failed test says why",
			[]string{pass, fail, notOK},
			false,
			"    f.go:1: broken\nFAIL\tp\t0.1s\ntests: 1 passed, 0 skipped\nFAIL p F\nFAIL p\n", false,
		},
		{
			"a test that never ended says what it said",
			[]string{hang, notOK},
			false,
			"FAIL\tp\t0.1s\npanic: test timed out\ntests: 0 passed, 0 skipped\nFAIL p\n", false,
		},
		{
			"a failed build",
			[]string{noBuild},
			false,
			"p.go:1: syntax error\ntests: 0 passed, 0 skipped\nFAIL p\n", false,
		},
		{"other lines pass through", []string{strayOut}, false, strayOut + "\ntests: 0 passed, 0 skipped\n", true},
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
