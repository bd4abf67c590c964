package virtcast_test

import (
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// where a word may not be.
type where int

const (
	everywhere where = iota // in code, comments, texts and the paths of files
	prose                   // in comments, texts and documents, not in names of the code
)

// words are those that had a second meaning, or hide the subject of a sentence, and what
// is written instead. in limits a row to the paths that begin so.
//
// A row is looked for only in texts that have one of its stems in any case: to look for a
// fixed text is much faster.
var words = []struct {
	stems   string // separated by |
	pattern string
	where   where
	in      string
	instead string
}{
	{"doubt|suspect", `(?i)doubt(ful|ed|s)?|\bsuspects?\b`, everywhere, "", "unconfirmed: sent, not answered"},
	{"cargo|shipment", `(?i)cargo|shipment`, everywhere, "", "name the data: a batch, a request, events"},
	{"circumstance", `(?i)circumstance`, everywhere, "", "context, or the case itself"},
	{"speak", `(?i)\bspeaks? for\b|\bspeaks\b *(=|bool)|\.speaks\b|flagSpeaks`, everywhere, "", "published"},
	{"twin", `(?i)\btwins?\b`, everywhere, "", "sameUUID, or: the same UUID at another source"},
	{"displaced", `(?i)displaced`, everywhere, "", "superseded"},
	{"hear", `(?i)\b(hears?|heard) of\b|\.hear\(`, everywhere, "", "receives, or apply"},
	{"claim", `(?i)\bclaim\(|strong(er)? .*claim\b`, everywhere, "bridge/", "takes precedence"},
	{"lane", `(?i)\blanes?\b`, everywhere, "sinks/kafka/", "sender"},
	{"lane", `(?i)\blanes?\b`, everywhere, "sinks/sinktest/", "key"},
	{"ollow", `func (\([^)]*\) )?[fF]ollow\w*\(`, everywhere, "sinks/", "Tail"},
	{"ollow", `func (\([^)]*\) )?[fF]ollow\w*\(`, everywhere, "registry/", "apply"},
	{"copies|copyfilter", `\b(Copies|copyFilter)\b`, everywhere, "registry/", "duplicates"},
	{"addstate|kafka.state|nats.state", `\bAddState\b|\b(kafka|nats)\.State\b`, everywhere, "", "StateStore, AddStateStore"},
	{"schema.domainstate", `\bschema\.DomainState\b`, everywhere, "", "schema.ListedDomain"},
	{"plan", `sinks/\w+/plan(_test)?\.go$`, everywhere, "sinks/", "order.go"},
	{"teststatement", `\bTestStatement\d`, everywhere, "", "the name of the law"},
	{"says so", `(?i)\bsays so\b`, prose, "", "repeat the fact"},
	{"told", `(?i)\b(is|are|was|were|be) told\b`, prose, "", "name who passes what to whom"},
	{"of no use", `(?i)\bof no use\b`, prose, "", "useless, or: does not help"},
	{"anew", `(?i)\banew\b`, prose, "", "again"},
	{"whoever", `(?i)\bwhoever\b`, prose, "", "name the one who does it"},
	{"letter", `(?i)\bletters?\b`, prose, "", "dead letters"},
}

// allowed are phrases in which a word of the table has its plain meaning.
var allowedPhrases = regexp.MustCompile(`(?i)dead[- ]letters?|(lower|upper)[- ]case letters?|capital letters?|letters?(,| and| or) digits?|letter case|told (from|apart)`)

func TestWords(t *testing.T) {
	patterns := make([]*regexp.Regexp, len(words))
	for i, w := range words {
		patterns[i] = regexp.MustCompile(w.pattern)
	}
	for _, file := range texts(t) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all, written := string(src), string(src)
		if strings.HasSuffix(file, ".go") {
			written = writtenFor(src)
		}
		lower := strings.ToLower(file + "\n" + all)
		for i, w := range words {
			if !strings.HasPrefix(file, w.in) || !containsAny(lower, w.stems) {
				continue
			}
			text := all
			if w.where == prose {
				text = written
			}
			for _, line := range find(patterns[i], file, text) {
				t.Errorf("%s: %q, want: %s", line.at, line.found, w.instead)
			}
		}
	}
}

// containsAny reports whether text has one of the stems, which are separated by |.
func containsAny(text, stems string) bool {
	for stem := range strings.SplitSeq(stems, "|") {
		if strings.Contains(text, stem) {
			return true
		}
	}
	return false
}

type hit struct{ at, found string }

// find returns where a pattern is in a path or a text, one hit a line.
func find(pattern *regexp.Regexp, file, text string) []hit {
	var hits []hit
	if found := pattern.FindString(file); found != "" {
		hits = append(hits, hit{file, found})
	}
	if !pattern.MatchString(text) {
		return hits
	}
	for n, line := range strings.Split(text, "\n") {
		if found := pattern.FindString(allowedPhrases.ReplaceAllString(line, "")); found != "" {
			hits = append(hits, hit{file + ":" + strconv.Itoa(n+1), found})
		}
	}
	return hits
}

// writtenFor returns the comments and the strings of a Go source, each in its place, and
// nothing else: what people read.
func writtenFor(src []byte) string {
	blank := bytes.Repeat([]byte{' '}, len(src))
	for i, c := range src {
		if c == '\n' {
			blank[i] = c
		}
	}
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return string(blank)
		}
		if tok == token.COMMENT || tok == token.STRING {
			copy(blank[file.Offset(pos):], literal)
		}
	}
}

func TestWordsAreFound(t *testing.T) {
	pattern := regexp.MustCompile(`(?i)\bletters?\b`)
	for text, want := range map[string]int{
		"the letter is kept":                     1,
		"a dead letter; Dead letters; a letter":  1,
		"two dead letters":                       0,
		"lower-case letters, letters and digits": 0,
		"a letter\nand\na letter":                2,
	} {
		if got := find(pattern, "file", text); len(got) != want {
			t.Errorf("found %v in %q, want %d", got, text, want)
		}
	}
	const source = "package p\n\n// letter one, ä\nvar letter = `letter two` // letter three\n"
	got := find(pattern, "file", writtenFor([]byte(source)))
	want := []hit{{"file:3", "letter"}, {"file:4", "letter"}}
	if !slices.Equal(got, want) {
		t.Errorf("found %v in the source, want %v", got, want)
	}
}

// texts returns every file of the tree that is written by hand, but this one and the
// changelog, which names what there was.
func texts(t *testing.T) []string {
	t.Helper()
	kinds := []string{".go", ".md", ".yaml", ".yml", ".sh", ".java", ".js", ".py", ".service"}
	var files []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case path == "words_test.go" || path == "CHANGELOG.md":
			return nil
		case !entry.IsDir() && (slices.Contains(kinds, filepath.Ext(path)) || path == "Makefile"):
			files = append(files, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
