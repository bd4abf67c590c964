package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// shellBlock is a fenced block of shell commands in a document.
var shellBlock = regexp.MustCompile("(?s)\n```sh\n(.*?\n)```\n")

// TestDocs holds that every command line of virtcast in the documents has a command,
// flags and arguments that exist, and every make a target.
func TestDocs(t *testing.T) {
	targets, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]int{}
	for _, name := range append(documents, "../../README.md", "../../compose/README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllSubmatch(text, -1) {
			for line := range strings.Lines(string(block[1])) {
				words := shellWords(line)
				if args, ours := commandLine(words); ours {
					checked[filepath.Base(name)]++
					if err := understood(args); err != nil {
						t.Errorf("%s: %s: %v", name, strings.TrimSpace(line), err)
					}
				}
				if len(words) > 1 && words[0] == "make" && !regexp.MustCompile(`(?m)^`+words[1]+`:`).Match(targets) {
					t.Errorf("%s: %s: the Makefile has no such target", name, strings.TrimSpace(line))
				}
			}
		}
	}
	if checked["README.md"] == 0 || checked["operations.md"] == 0 {
		t.Errorf("command lines of virtcast: %v, want some in README.md and operations.md", checked)
	}
}

// TestHelpExamples holds the same for the examples in every command's help.
func TestHelpExamples(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			command, _, _ := strings.Cut(line, "|")
			args, ours := commandLine(shellWords(command))
			if !ours {
				t.Errorf("%s --help: %q is no command line of virtcast", c.CommandPath(), line)
			} else if err := understood(args); err != nil {
				t.Errorf("%s --help: %s: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRootCommand())
}

// commandLine returns the arguments of virtcast where the words call it.
func commandLine(words []string) (args []string, ours bool) {
	for _, program := range [][]string{{"virtcast"}, {"./virtcast"}, {"go", "run", "./cmd/virtcast"}} {
		if len(words) >= len(program) && slices.Equal(words[:len(program)], program) {
			return words[len(program):], true
		}
	}
	return nil, false
}

// understood parses a command line as execute would, and runs nothing.
func understood(args []string) error {
	c, rest, err := newRootCommand().Find(args)
	if err != nil {
		return err
	}
	if !c.HasParent() {
		return fmt.Errorf("no command in %q", args)
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return err
	}
	return c.ValidateFlagGroups()
}

// shellWords splits a line as a shell does, as far as the documents need it: words,
// quotes, and a comment at the end.
func shellWords(line string) []string {
	var words []string
	for line = strings.TrimSpace(line); line != "" && line[0] != '#'; line = strings.TrimLeft(line, " \t\n") {
		var word strings.Builder
		for line != "" && !strings.ContainsRune(" \t\n", rune(line[0])) {
			quote := line[0]
			if quote != '\'' && quote != '"' {
				word.WriteByte(quote)
				line = line[1:]
				continue
			}
			quoted, after, _ := strings.Cut(line[1:], string(quote))
			word.WriteString(quoted)
			line = after
		}
		words = append(words, word.String())
	}
	return words
}

// TestReadmeOutput runs what the README shows first, and compares what it prints with the
// block in the README: the lines at the start, and the form of those of events. Versions,
// places, ports, times and ids are not compared, nor which domain does what.
func TestReadmeOutput(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(readme), "\n```\nvirtcast ")
	block, _, closed := strings.Cut("virtcast "+block, "\n```\n")
	if !found || !closed {
		t.Fatal("the README has no block with the output of virtcast run")
	}
	want := alike(block)
	got := alike(demoOutput(t, len(strings.Split(block, "\n"))))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the README's output and that of virtcast run --demo (-README +now)\n%s", diff)
	}
}

// demoOutput returns the first lines that virtcast run --demo prints.
func demoOutput(t *testing.T, n int) string {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, []string{"run", "--demo"}, strings.NewReader(""), in, io.Discard)
		_ = in.Close()
	}()
	var printed []string
	lines := bufio.NewScanner(out)
	for len(printed) < n && lines.Scan() {
		printed = append(printed, lines.Text())
	}
	stop()
	for lines.Scan() { // what it still prints while it stops
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	return strings.Join(printed, "\n")
}

// alike replaces what differs from run to run.
func alike(output string) string {
	for _, r := range []struct{ from, to string }{
		{`(?m)^virtcast .*, without`, "virtcast VERSION, without"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`(?m)^(  keeps .* in ).*$`, "${1}DIR"},
		{
			`(?m)^\d\d:\d\d:\d\d\.\d{3}  demo {9}[a-z0-9-]+ +[a-z]+ [a-z-]+ +76697274-6361-4073-8074-[0-9a-f]{12} [0-9a-z]+-[0-9a-z]+$`,
			"TIME  demo  DOMAIN  EVENT DETAIL  UUID ID",
		},
	} {
		output = regexp.MustCompile(r.from).ReplaceAllString(output, r.to)
	}
	return output
}
