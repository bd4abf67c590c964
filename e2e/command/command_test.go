package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/e2e/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOutput(t *testing.T) {
	out, err := command.New(t.Context(), time.Minute, "/bin/sh", "-c", "echo one; echo two >&2").Output()
	if string(out) != "one\n" || err != nil {
		t.Errorf("got %q and error %v, want the standard output", out, err)
	}
	_, err = command.New(t.Context(), time.Minute, "/bin/sh", "-c", "echo why >&2; exit 3").Output()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "why") {
		t.Errorf("got error %v, want the exit status and the standard error", err)
	}
	out, err = command.New(t.Context(), time.Minute, "/bin/sh", "-c", "echo one; echo two >&2").CombinedOutput()
	if string(out) != "one\ntwo\n" || err != nil {
		t.Errorf("got %q and error %v, want both outputs", out, err)
	}
}

func TestNotFound(t *testing.T) {
	err := command.New(t.Context(), time.Minute, "/nowhere/program", "argument").Run()
	if err == nil || !strings.Contains(err.Error(), "/nowhere/program argument") {
		t.Errorf("got error %v, want one that names the program and its argument", err)
	}
}

// A program that hangs is killed at its deadline with all that it has started, and is
// named.
func TestDeadline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	script := `sleep 1000 & echo $! >"$1"; wait`
	cmd := command.New(t.Context(), time.Second, "/bin/sh", "-c", script, "hang", file)
	start := time.Now()
	_, err := cmd.CombinedOutput() // the sleep holds the output too
	if took := time.Since(start); took < time.Second || took > 30*time.Second {
		t.Errorf("the program was killed after %v, want 1s", took)
	}
	late := (*command.DeadlineError)(nil)
	if !errors.As(err, &late) {
		t.Fatalf("got error %v, want a DeadlineError", err)
	}
	for _, want := range []string{"/bin/sh -c", "hang " + file, "within 1s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	awaitGone(t, strings.TrimSpace(string(pid)))
}

// awaitGone waits until a process has ended.
func awaitGone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s, which the killed program had started, still runs", pid)
		}
	}
}

// A deadline counts from the start of the program, not from when its command was made.
func TestDeadlineCountsFromStart(t *testing.T) {
	cmd := command.New(t.Context(), 500*time.Millisecond, "/bin/sh", "-c", "exit 0")
	time.Sleep(600 * time.Millisecond)
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := command.New(ctx, time.Minute, "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cancel()
	err := cmd.Wait()
	if late := (*command.DeadlineError)(nil); err == nil || errors.As(err, &late) {
		t.Errorf("got error %v, want one that is no deadline's", err)
	}
}

// A process that a program leaves behind does not hold up its caller for ever.
func TestLeftBehind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	out, err := command.New(t.Context(), time.Minute, "/bin/sh", "-c", `sleep 1000 & echo $! | tee "$1"`, "leave", file).CombinedOutput()
	if err == nil || !strings.Contains(err.Error(), "left behind") {
		t.Errorf("got error %v, want one that tells of the process left behind", err)
	}
	var pid int
	if _, err := fmt.Sscan(string(out), &pid); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}

func TestKill(t *testing.T) {
	for name, cmd := range map[string]*command.Cmd{
		"server": command.Server("sleep", "1000"), "program": command.New(t.Context(), time.Minute, "sleep", "1000"),
	} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmd.Kill()
		if err := cmd.Wait(); err == nil {
			t.Errorf("a killed %s ended without an error", name)
		}
	}
}

func TestLongName(t *testing.T) {
	if name := command.Server("sleep", strings.Repeat("9", 1000)).String(); len(name) > 450 {
		t.Errorf("the name has %d bytes", len(name))
	}
}
