package lab_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
)

// inChild is set for the process that TestKilled kills.
const inChild = "VIRTCAST_LAB_CHILD"

// A test process that is killed leaves no process behind.
func TestKilled(t *testing.T) {
	lab.Require(t, "libvirtd", "qemu")
	if os.Getenv(inChild) != "" {
		d := lab.Libvirtd(t, lab.Options{})
		lab.PuppetGuest(t, d, "puppet").Virsh(t, "start")
		fmt.Println(d.Dir)
		select {} // until killed
	}
	child := command.New(t.Context(), 5*time.Minute, os.Args[0], "-test.run=^TestKilled$", "-test.timeout=5m")
	child.Env = append(os.Environ(), inChild+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Errorf("read the child's output: %v", err)
	}
	dir := line[:max(0, len(line)-1)]
	if filepath.Dir(dir) != "/tmp" {
		t.Errorf("the child prints %q, want the daemon's directory", line)
	}
	if len(processesOf(t, dir)) < 2 {
		t.Errorf("want libvirtd and an emulator to run in %s, got %q", dir, processesOf(t, dir))
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended without an error, want it killed")
	}
	lab.Eventually(t, lab.Patience, func() error {
		if left := processesOf(t, dir); len(left) > 0 {
			return fmt.Errorf("still running: %q", left)
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// processesOf returns the command lines that name a directory.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}
