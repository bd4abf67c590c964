package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/virtcast/virtcast/e2e/command"
)

// JavaClasses returns the class path of the Java programs of e2e/interop: the official
// Kafka client, the CloudEvents SDK, and the programs themselves. It fetches and compiles
// what is not there yet.
func JavaClasses(t testing.TB) string {
	t.Helper()
	Require(t, "java")
	return interop(t, "java")
}

// Java returns a command that runs a Java program of e2e/interop, given as the name of
// its class. It ends with the test; where its input comes from and its output goes to is
// the caller's to set.
func Java(t testing.TB, class string, args ...string) *command.Cmd {
	t.Helper()
	return command.New(t.Context(), toolTimeout, "java", append([]string{
		"-XX:+UseSerialGC", "-Xshare:auto", "-Xmx512m", "-Djava.net.preferIPv4Stack=true", "-cp", JavaClasses(t), class,
	}, args...)...)
}

// Python returns a command that runs a Python program of e2e/interop, given as the name
// of its file, in a virtual environment with the packages that it needs, which is made
// first if it is not there.
func Python(t testing.TB, file string, args ...string) *command.Cmd {
	t.Helper()
	Require(t, "python")
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	path := filepath.Join(root, "e2e", "interop", "python", file)
	cmd := command.New(t.Context(), toolTimeout, interop(t, "python"), append([]string{path}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1") // nothing is written into the tree
	return cmd
}

// Node returns a command that runs a JavaScript program of e2e/interop, given as the name
// of its file. It fetches the packages first if they are not there.
func Node(t testing.TB, file string, args ...string) *command.Cmd {
	t.Helper()
	Require(t, "node")
	return command.New(t.Context(), toolTimeout, "node", append([]string{filepath.Join(interop(t, "node"), file)}, args...)...)
}

// Output runs a command and returns what it prints. The test fails with the command's
// error output if it does not end with 0, or not within its deadline.
func Output(t testing.TB, cmd *command.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("lab: %s: %v\n%s\n%s", cmd, err, tail(stdout.String(), 10), stderr.Bytes())
	}
	return stdout.String()
}

// interop fetches what the programs of a language need, and returns what runs them.
func interop(t testing.TB, language string) string {
	t.Helper()
	found, err := fetch("interop", language)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return found
}
