package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// deadLetterDir makes a data directory with three dead letters: two of the sink log, one
// of them unreadable, and one of the sink bus.
func deadLetterDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, sink := range []string{"log", "bus"} {
		if _, err := j.Reader(sink); err != nil {
			t.Fatal(err)
		}
	}
	e := schema.Event{
		Observation: schema.Observation{
			Connection: &schema.Connection{Name: "kvm01", URI: "qemu:///system", Hostname: "kvm01", Source: "qemu://kvm01/system"},
			Kind:       schema.KindLifecycle, Event: 2, Received: time.Unix(1_800_000_000, 0).UTC(),
			Object: schema.Object{UUID: schema.UUID{1}, Name: "web\x1b[31m-1", ID: 3},
		},
		Epoch: schema.FormatEpoch(1), Sequence: 7, DomainSequence: 1,
	}
	for _, l := range []struct {
		sink string
		data []byte
	}{
		{"log", schema.AppendRecord(nil, &e, nil)}, {"log", []byte("\x00garbage")}, {"bus", schema.AppendRecord(nil, &e, nil)},
	} {
		if err := j.DeadLetter(l.sink, journal.Record{Offset: 1, Data: l.data}, "MESSAGE_TOO_LARGE: larger than\nmax.message.bytes"); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// virtcast runs a command line and returns what it prints.
func virtcast(t *testing.T, wantCode int, args ...string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	if code := execute(t.Context(), args, strings.NewReader(""), &o, &e); code != wantCode {
		t.Fatalf("virtcast %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, wantCode, e.String())
	}
	return o.String(), e.String()
}

func numbers(t *testing.T, dir string, args ...string) []uint64 {
	t.Helper()
	out, _ := virtcast(t, exitOK, append([]string{"deadletter", "list", "--json", "--data-dir", dir}, args...)...)
	var all []uint64
	for line := range strings.Lines(out) {
		var view deadLetterView
		if err := json.Unmarshal([]byte(line), &view); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, view.Number)
	}
	return all
}

func TestDeadLetterList(t *testing.T) {
	dir := deadLetterDir(t)
	out, _ := virtcast(t, exitOK, "deadletter", "list", "--data-dir", dir, "--sink", "log")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "NUMBER") {
		t.Fatalf("list prints\n%s\nwant a head and two lines", out)
	}
	for _, want := range []string{"0000000001-7", "org.libvirt.domain.lifecycle.started.v1", "web?[31m-1", "MESSAGE_TOO_LARGE: larger than?max.message.bytes"} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("line %q does not contain %q", lines[1], want)
		}
	}
	if out, _ := virtcast(t, exitOK, "deadletter", "list", "--data-dir", dir, "--sink", "other"); out != "no dead letters\n" {
		t.Errorf("list of a sink without dead letters prints %q", out)
	}
}

func TestDeadLetterShow(t *testing.T) {
	dir := deadLetterDir(t)
	out, _ := virtcast(t, exitOK, "deadletter", "show", "--data-dir", dir, "2", "1")
	decoder := json.NewDecoder(strings.NewReader(out))
	var good, bad deadLetterView
	if err := decoder.Decode(&good); err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(&bad); err != nil {
		t.Fatal(err)
	}
	if e, err := schema.Decode(good.Event); err != nil || e.Sequence != 7 || good.Sink != "log" || good.Number != 1 {
		t.Errorf("dead letter 1 = %+v, event %+v, %v", good, e, err)
	}
	if bad.Unreadable == "" || bad.Event != nil || bad.Number != 2 {
		t.Errorf("dead letter 2 = %+v, want it to say that it is unreadable", bad)
	}
	_, errOut := virtcast(t, exitFailure, "deadletter", "show", "--data-dir", dir, "9")
	if !strings.Contains(errOut, "no such dead letter: 9") {
		t.Errorf("show of a number that is not there says %q", errOut)
	}
}

func TestDeadLetterRetryAndDrop(t *testing.T) {
	dir := deadLetterDir(t)
	_, errOut := virtcast(t, exitFailure, "deadletter", "retry", "--data-dir", dir, "--all")
	if !strings.Contains(errOut, "dead letter 2: unreadable record") {
		t.Errorf("retry of an unreadable dead letter says %q", errOut)
	}
	if got := numbers(t, dir); len(got) != 3 {
		t.Errorf("dead letters %v after a retry that was refused, want all 3", got)
	}
	if out, _ := virtcast(t, exitOK, "deadletter", "retry", "--data-dir", dir, "1"); out != "1 dead letters put back\n" {
		t.Errorf("retry prints %q", out)
	}
	if out, _ := virtcast(t, exitOK, "deadletter", "drop", "--data-dir", dir, "--all", "--sink", "log"); out != "1 dead letters dropped\n" {
		t.Errorf("drop prints %q", out)
	}
	if got := numbers(t, dir); len(got) != 1 || got[0] != 3 {
		t.Errorf("dead letters %v, want that of bus only", got)
	}
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	r, err := j.Reader("log")
	if err != nil {
		t.Fatal(err)
	}
	records, err := r.Next(t.Context(), nil, 0)
	if err != nil || len(records) != 1 {
		t.Fatalf("the journal holds %d records, %v, want the one that was put back", len(records), err)
	}
	if _, mine, err := schema.ReadRecord(records[0].Data, "bus", nil); mine || err != nil || !schema.RecordIsRepeat(records[0].Data) {
		t.Errorf("what was put back goes to another sink (%t, %v), or is no repeat", mine, err)
	}
}

func TestDeadLetterUsage(t *testing.T) {
	dir, empty := deadLetterDir(t), t.TempDir()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"retry"}, "give the numbers of dead letters"},
		{[]string{"drop", "1", "--all"}, "give numbers or --all, not both"},
		{[]string{"drop", "1", "--sink", "log"}, "--sink goes with --all"},
		{[]string{"drop", "one"}, `"one" is no number`},
		{[]string{"show"}, "needs a number"},
		{[]string{"lsit"}, `unknown command "lsit"; did you mean list?`},
	} {
		_, errOut := virtcast(t, exitUsage, append(append([]string{"deadletter"}, test.args...), "--data-dir", dir)...)
		if !strings.Contains(errOut, test.want) {
			t.Errorf("deadletter %v says %q, want %q", test.args, errOut, test.want)
		}
	}
	for _, command := range []string{"list", "retry", "drop"} {
		args := []string{"deadletter", command, "--data-dir", empty}
		if command != "list" {
			args = append(args, "1")
		}
		_, errOut := virtcast(t, exitUsage, args...)
		if !strings.Contains(errOut, "no journal in") || !strings.Contains(errOut, "--data-dir") {
			t.Errorf("deadletter %s in a directory without a journal says %q", command, errOut)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("the directory without a journal holds %v afterwards, %v", entries, err)
	}
}
