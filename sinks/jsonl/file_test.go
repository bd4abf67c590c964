package jsonl

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func openSink(t *testing.T, path string) *Sink {
	t.Helper()
	s, err := New(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustDeliver(t *testing.T, s *Sink, events []schema.Event) {
	t.Helper()
	if n, err := sinktest.Prefix(t.Context(), s, events); n != len(events) || err != nil {
		t.Fatalf("Deliver of %d events = %d, %v", len(events), n, err)
	}
}

func lines(events []schema.Event) string {
	var b []byte
	for i := range events {
		b = append(schema.AppendJSON(b, &events[i]), '\n')
	}
	return string(b)
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds\n%.2000s\nwant\n%.2000s", path, got, want)
	}
}

// TestTornLine: whatever a crash has left, the next line is whole.
func TestTornLine(t *testing.T) {
	events := sinktest.NewSource(1, 1).Take(2)
	whole := lines(events[:1])
	next := lines(events[1:])
	for cut := 0; cut <= len(whole); cut++ {
		path := filepath.Join(t.TempDir(), "events")
		if err := os.WriteFile(path, []byte(whole[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		s := openSink(t, path)
		mustDeliver(t, s, events[1:])
		want := whole[:cut] + "\n" + next
		if cut == 0 || cut == len(whole) {
			want = whole[:cut] + next
		}
		wantFile(t, path, want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRotation: events go to what is at the path.
func TestRotation(t *testing.T) {
	tests := []struct {
		name   string
		rotate func(t *testing.T, s *Sink, path string)
		old    bool // the first events stay at path.1
	}{
		{"renamed", func(t *testing.T, _ *Sink, path string) { rename(t, path) }, true},
		{"renamed and created", func(t *testing.T, _ *Sink, path string) {
			rename(t, path)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"renamed and signalled", func(t *testing.T, s *Sink, path string) {
			rename(t, path)
			if err := s.Reopen(); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"removed", func(t *testing.T, _ *Sink, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"truncated in place", func(t *testing.T, _ *Sink, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events")
			s := openSink(t, path)
			events := sinktest.NewSource(1, 2).Take(20)
			mustDeliver(t, s, events[:10])
			tt.rotate(t, s, path)
			mustDeliver(t, s, events[10:])
			wantFile(t, path, lines(events[10:]))
			if tt.old {
				wantFile(t, path+".1", lines(events[:10]))
			}
		})
	}
}

func rename(t *testing.T, path string) {
	t.Helper()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
}

// smallDisk is a file on a disk that takes only so many bytes more.
type smallDisk struct {
	*os.File
	room     int
	syncErr  error
	truncErr error
}

func (d *smallDisk) Write(p []byte) (int, error) {
	if len(p) <= d.room {
		d.room -= len(p)
		return d.File.Write(p)
	}
	n, err := d.File.Write(p[:d.room])
	d.room = 0
	return n, errors.Join(err, &fs.PathError{Op: "write", Path: d.Name(), Err: syscall.ENOSPC})
}

func (d *smallDisk) Sync() error {
	if d.syncErr != nil {
		return d.syncErr
	}
	return d.File.Sync()
}

func (d *smallDisk) Truncate(size int64) error {
	if d.truncErr != nil {
		return d.truncErr
	}
	return d.File.Truncate(size)
}

func (s *Sink) shrink(t *testing.T, d *smallDisk) {
	t.Helper()
	f, ok := s.file.(*os.File)
	if !ok {
		t.Fatalf("file is a %T", s.file)
	}
	d.File, s.file = f, d
}

// TestFullDisk fills the disk within each of three lines: what is acknowledged is whole
// on disk, nothing else is, and the rest follows when there is room.
func TestFullDisk(t *testing.T) {
	events := sinktest.NewSource(1, 1).Take(4)
	text := lines(events[1:])
	for room := 0; room < len(text); room += 11 {
		path := filepath.Join(t.TempDir(), "events")
		s := openSink(t, path)
		mustDeliver(t, s, events[:1])
		disk := &smallDisk{room: room}
		s.shrink(t, disk)
		n, err := sinktest.Prefix(t.Context(), s, events[1:])
		if want := strings.Count(text[:room], "\n"); n != want || !errors.Is(err, syscall.ENOSPC) || sinktest.IsPermanent(err) {
			t.Fatalf("room for %d bytes: Deliver = %d, %v, want %d and a full disk", room, n, err, want)
		}
		if !strings.HasSuffix(err.Error(), "free space on the file's disk, or rotate and compress") {
			t.Fatalf("error has no cure: %v", err)
		}
		wantFile(t, path, lines(events[:1+n]))
		disk.room = 1 << 20
		mustDeliver(t, s, events[1+n:])
		wantFile(t, path, lines(events))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// After a failed sync it is unknown what is on disk. So nothing of it counts, and the file
// is opened again.
func TestSyncFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	s := openSink(t, path)
	events := sinktest.NewSource(1, 1).Take(5)
	mustDeliver(t, s, events[:2])
	s.shrink(t, &smallDisk{room: 1 << 20, syncErr: syscall.EIO})
	if n, err := sinktest.Prefix(t.Context(), s, events[2:]); n != 0 || !errors.Is(err, syscall.EIO) {
		t.Fatalf("Deliver = %d, %v, want 0 and EIO", n, err)
	}
	wantFile(t, path, lines(events[:2]))
	mustDeliver(t, s, events[2:])
	wantFile(t, path, lines(events))
}

// TestTruncateFails: what cannot be cut off is ended.
func TestTruncateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	s := openSink(t, path)
	events := sinktest.NewSource(1, 1).Take(3)
	mustDeliver(t, s, events[:1])
	s.shrink(t, &smallDisk{room: 10, truncErr: syscall.EPERM})
	if n, err := sinktest.Prefix(t.Context(), s, events[1:]); n != 0 || err == nil {
		t.Fatalf("Deliver = %d, %v, want 0 and an error", n, err)
	}
	mustDeliver(t, s, events[1:])
	wantFile(t, path, lines(events[:1])+lines(events[1:2])[:10]+"\n"+lines(events[1:]))
}

func TestSecondWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	events := sinktest.NewSource(1, 1).Take(1)
	mustDeliver(t, openSink(t, path), events)
	_, err := sinktest.Prefix(t.Context(), openSink(t, path), events)
	if err == nil || !strings.Contains(err.Error(), "another process writes it: give each its own file") {
		t.Errorf("Deliver = %v, want that another process writes the file", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, want string }{
		{"no directory", filepath.Join(dir, "missing", "events"), "no such file or directory; create its directory"},
		{"directory", dir, "is a directory"},
		{"pipe without a reader", pipe, "nobody reads this pipe: start its reader"},
		{"full device", "/dev/full", "no space left on device; free space"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := sinktest.Prefix(t.Context(), openSink(t, tt.path), sinktest.NewSource(1, 1).Take(1))
			if n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) || sinktest.IsPermanent(err) {
				t.Errorf("Deliver = %d, %v, want 0 and a transient error with %q", n, err, tt.want)
			}
		})
	}
}

// TestPipe: a reader that stops for a while, and a context that ends meanwhile, tear no
// line.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // It is only read.
	s := openSink(t, path)
	events := sinktest.NewSource(2, 50).Take(1000) // More than a pipe takes.
	rest := events
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		n, err := sinktest.Prefix(ctx, s, rest)
		cancel()
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
			t.Fatalf("Deliver = %d, %v after %v, want the context's error soon after 50ms", n, err, took)
		}
		rest = rest[n:]
	}
	if len(rest) == len(events) {
		t.Fatal("nothing was delivered to the pipe")
	}
	want := lines(events)
	got := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		buf := make([]byte, 4096)
		for b.Len() < len(want) {
			n, err := reader.Read(buf)
			if err != nil {
				break
			}
			b.Write(buf[:n])
		}
		got <- b.String()
	}()
	mustDeliver(t, s, rest)
	if g := <-got; g != want {
		t.Errorf("the reader got %d bytes, want %d, or other ones", len(g), len(want))
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := sinktest.Prefix(t.Context(), s, events[:1]); n != 0 || err == nil || !strings.Contains(err.Error(), "its reader has gone: start it again") {
		t.Errorf("Deliver without a reader = %d, %v", n, err)
	}
}

// TestTornLineOfAbsentEvent: a line that a call left torn in a pipe is completed by the
// next call, also if that call has other events; the event is not written again when it
// comes back.
func TestTornLineOfAbsentEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	s := openSink(t, path)
	events := sinktest.NewSource(1, 4).Take(6)
	mustDeliver(t, s, events[:1])
	file := s.file
	disk := &smallDisk{room: 40}
	s.shrink(t, disk)
	if n, err := s.appendStream(t.Context(), events[1:3]); n != 0 || err == nil {
		t.Fatalf("Deliver with room for 40 bytes = %d, %v", n, err)
	}
	disk.room = 1 << 20
	for _, batch := range [][]schema.Event{events[3:4], {events[4], events[1], events[2]}, events[5:]} {
		n, err := s.appendStream(t.Context(), batch)
		if n != len(batch) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	s.file = file
	want := []schema.Event{events[0], events[1], events[3], events[4], events[2], events[5]}
	wantFile(t, path, lines(want))
}

func TestConfigValidate(t *testing.T) {
	for path, want := range map[string]string{
		"": "path: missing", "/var/log/": "is a directory", "a\x00b": "NUL", "-": "", "/var/log/virtcast.jsonl": "",
	} {
		err := Config{Path: path}.Validate("jsonl")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Validate of %q = %v, want %q", path, err, want)
		}
	}
}
