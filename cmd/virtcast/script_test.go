package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if child := childOf(); child != nil {
		os.Exit(runChild(child))
	}
	testscript.Main(m, map[string]func(){
		"virtcast": func() {
			os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

func runChild(child func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := child(ctx); err != nil {
		complain(os.Stderr, err)
		return exitFailure
	}
	return exitOK
}

// childOf returns what this process is to do where a test started it as its child, else nil.
func childOf() func(context.Context) error {
	if config := os.Getenv(crashConfig); config != "" {
		return func(ctx context.Context) error { return crashChild(ctx, config, os.Getenv(crashAcks)) }
	}
	if socket := os.Getenv(idleSocket); socket != "" {
		return func(ctx context.Context) error { return idleServer(ctx, socket) }
	}
	return nil
}

// TestScript runs the command line as a user does: testdata/script/*.txtar.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Deadline: time.Now().Add(2 * time.Minute), // for each program that a script runs
		Cmds:     map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
	})
}

// exitCode runs a program and holds its exit code: exitcode 2 virtcast check.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode code program [argument...]")
	}
	got := "0"
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = strconv.Itoa(exit.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// TestSamples loads every configuration that we ship, strictly.
func TestSamples(t *testing.T) {
	names, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(names) < 3 {
		t.Fatalf("configs has %v (%v), want three files at least", names, err)
	}
	for _, name := range append(names, "../../compose/virtcast.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseConfig(name, data, func(string) (string, bool) { return "secret", true }); err != nil {
			t.Error(err)
		}
	}
}
