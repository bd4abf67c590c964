package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackoff(t *testing.T) {
	tests := map[string]struct {
		backoff  Backoff
		ceilings []time.Duration
	}{
		"bounds":      {Backoff{Min: 10, Max: 65}, []time.Duration{10, 20, 40, 65, 65}},
		"defaults":    {Backoff{}, []time.Duration{defaultLow, 2 * defaultLow, 4 * defaultLow}},
		"long min":    {Backoff{Min: time.Hour}, []time.Duration{time.Hour, time.Hour}},
		"max < min":   {Backoff{Min: 10, Max: 5}, []time.Duration{5, 5}},
		"no overflow": {Backoff{Min: 1 << 61, Max: 1<<63 - 2}, []time.Duration{1 << 61, 1 << 62, 1<<63 - 2, 1<<63 - 2}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			highest := make([]time.Duration, len(tc.ceilings))
			lowest := make([]time.Duration, len(tc.ceilings))
			for round := range 300 {
				b := tc.backoff
				b.Next()
				b.Reset()
				for i, ceiling := range tc.ceilings {
					d := b.Next()
					if d < 0 || d > ceiling {
						t.Fatalf("wait %d is %v, want 0 to %v", i, d, ceiling)
					}
					highest[i] = max(highest[i], d)
					if round == 0 || d < lowest[i] {
						lowest[i] = d
					}
				}
			}
			for i, ceiling := range tc.ceilings {
				if highest[i] < ceiling*8/10 || lowest[i] > ceiling/5 {
					t.Errorf("300 waits %d are between %v and %v: not spread over 0 to %v", i, lowest[i], highest[i], ceiling)
				}
			}
		})
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := Sleep(t.Context(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("got %v after %v, want nil after 1h", err, time.Since(start))
		}
		cause := errors.New("the operator stopped it")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		start = time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, cause) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v, want the cause after 1m", err, time.Since(start))
		}
		if err := Sleep(ctx, 0); !errors.Is(err, cause) {
			t.Errorf("got %v with an ended context, want its cause", err)
		}
	})
}

type classed struct{ class string }

func (c classed) Error() string { return "error of " + c.class }
func (c classed) Class() string { return c.class }

func TestClass(t *testing.T) {
	dialTo := func(address string, port int, err error) error {
		return &net.OpError{
			Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: port},
			Err: os.NewSyscallError("connect", err),
		}
	}
	read := func(from, to int) error {
		return &net.OpError{
			Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: from},
			Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: to}, Err: syscall.ECONNRESET,
		}
	}
	// Every row is a class of its own, and all errors of a row are of that class.
	rows := [][]error{
		{dialTo("127.0.0.1", 4222, syscall.ECONNREFUSED), dialTo("::1", 4223, syscall.ECONNREFUSED)},
		{dialTo("127.0.0.1", 4222, syscall.ETIMEDOUT)},
		{
			fmt.Errorf("publish: %w", dialTo("127.0.0.1", 1, syscall.ECONNREFUSED)),
			fmt.Errorf("publish: %w", dialTo("127.0.0.1", 2, syscall.ECONNREFUSED)),
		},
		{read(40001, 4222), read(40002, 4222)},
		{errors.Join(io.EOF, read(1, 2)), errors.Join(io.EOF, read(3, 4))},
		{
			&net.DNSError{Err: "no such host", Name: "kafka-a", Server: "10.0.0.1:53", IsNotFound: true},
			&net.DNSError{Err: "no such host", Name: "kafka-b", IsNotFound: true},
		},
		{&net.DNSError{Err: "server misbehaving", Name: "kafka-a"}},
		{
			errors.New("read tcp 127.0.0.1:40001->127.0.0.1:4222: i/o timeout"),
			errors.New("read tcp 127.0.0.1:40999->10.1.2.3:4222: i/o timeout"),
			errors.New("read tcp [::1]:40999->[fe80::1%eth0]:4222: i/o timeout"),
			errors.New("read tcp 2001:db8::7:40999->fe80::1:4222: i/o timeout"),
		},
		{errors.New("no acknowledgement in time: 3 of 500 are, the limit is 5s"), errors.New("no acknowledgement in time: 77 of 90 are, the limit is 1m30.5s")},
		{errors.New("domain 66000000-0000-4000-8000-0000000000ab: gone"), errors.New("domain c0ffee00-0000-4000-8000-000000000001: gone")},
		{errors.New("the first byte is 0x00"), errors.New("the first byte is 0xff")},
		{&fs.PathError{Op: "open", Path: "/etc/ca.pem", Err: fs.ErrNotExist}},
		{&fs.PathError{Op: "open", Path: "/etc/key.pem", Err: fs.ErrNotExist}},
		{fmt.Errorf("broker 1: %w", classed{"leader"}), fmt.Errorf("partition 7 of topic: %w", classed{"leader"})},
		{classed{"login"}},
		{classed{""}},
	}
	seen := map[string]int{}
	for i, row := range rows {
		for _, err := range row {
			got, want := Class(err), Class(row[0])
			if got != want || got == "" {
				t.Errorf("class of %q is %q, want %q", err, got, want)
			}
		}
		if before, ok := seen[Class(row[0])]; ok {
			t.Errorf("%q and %q are both of class %q", rows[before][0], row[0], Class(row[0]))
		}
		seen[Class(row[0])] = i
	}
	if got := Class(nil); got != "" {
		t.Errorf("class of nil is %q, want none", got)
	}
	if got := len(Class(errors.New(strings.Repeat("é", 10_000)))); got > maxClass {
		t.Errorf("a class has %d bytes, want %d at most", got, maxClass)
	}
}

func FuzzClass(f *testing.F) {
	f.Add("dial tcp 127.0.0.1:4222: connection refused", uint16(7))
	f.Add("::", uint16(1))
	f.Fuzz(func(t *testing.T, text string, n uint16) {
		one, two := Class(fmt.Errorf("%s: attempt %d", text, n)), Class(fmt.Errorf("%s: attempt %d", text, n/2))
		if one != two && len(text) < maxClass/2 {
			t.Errorf("two attempts are of classes %q and %q", one, two)
		}
	})
}

// logged returns a logger and what it has written since the last call, one line each,
// without times.
func logged(level slog.Level) (*slog.Logger, func() []string) {
	var mu sync.Mutex
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, &b}, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	return log, func() []string {
		mu.Lock()
		defer mu.Unlock()
		text := strings.TrimSuffix(b.String(), "\n")
		b.Reset()
		if text == "" {
			return nil
		}
		return strings.Split(text, "\n")
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

var messages = Messages{Begin: "it fails", Still: "it still fails", End: "it works again"}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("log (-want +got):\n%s", diff)
	}
}

func TestEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logged(slog.LevelInfo)
		e := NewEpisode(log, messages)
		if e.Recovered(t.Context()) {
			t.Error("a recovery without a failure ends an episode")
		}
		check(t, lines())
		refused := func(port int) error { return fmt.Errorf("dial 127.0.0.1:%d: refused", port) }
		if !e.Failed(t.Context(), refused(1), "pending", 7) {
			t.Error("the first failure does not begin an episode")
		}
		check(t, lines(), `level=WARN msg="it fails" err="dial 127.0.0.1:1: refused" pending=7`)
		if !e.Since().Equal(time.Now()) {
			t.Errorf("it began at %v, want now", e.Since())
		}
		for port := range 59 { // Other ports are the same trouble.
			time.Sleep(time.Second)
			if e.Failed(t.Context(), refused(port), "pending", 8) {
				t.Error("a later failure begins an episode")
			}
		}
		check(t, lines())
		time.Sleep(time.Second)
		e.Failed(t.Context(), refused(99), "pending", 9)
		check(t, lines(), `level=WARN msg="it still fails" err="dial 127.0.0.1:99: refused" pending=9 for=1m0s`)

		// Another trouble is logged at once, and only then when the two alternate.
		for range 10 {
			time.Sleep(time.Second)
			e.Failed(t.Context(), io.EOF)
			e.Failed(t.Context(), refused(3))
		}
		check(t, lines(), `level=WARN msg="it still fails" err=EOF for=1m1s`)
		if !e.Recovered(t.Context(), "pending", 0) {
			t.Error("the recovery does not end the episode")
		}
		check(t, lines(), `level=INFO msg="it works again" for=1m10s pending=0`)
		if !e.Since().IsZero() {
			t.Errorf("after the recovery it began at %v, want never", e.Since())
		}
		e.Recovered(t.Context())
		check(t, lines())
		e.Failed(t.Context(), io.EOF)
		check(t, lines(), `level=WARN msg="it fails" err=EOF`)
		if took, stopped := e.Stop(); took != 0 || !stopped {
			t.Errorf("Stop: got %v, %t, want 0s, true", took, stopped)
		}
		check(t, lines())
		if got, want := e.Failures(), uint64(1+59+1+20+1); got != want {
			t.Errorf("got %d failures, want %d", got, want)
		}
	})
}

func TestEpisodeOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logged(slog.LevelDebug)
		m := messages
		m.Level, m.Reminder = slog.LevelError, -1
		e := NewEpisode(log, m)
		e.Failed(t.Context(), io.EOF)
		check(t, lines(), `level=ERROR msg="it fails" err=EOF`)
		time.Sleep(time.Hour)
		e.Failed(t.Context(), io.EOF)
		check(t, lines(), `level=DEBUG msg="it still fails" err=EOF for=1h0m0s`)
		for i := range 3 * maxClasses { // A text that never repeats does not fill the log.
			e.Failed(t.Context(), errors.New(strings.Repeat("x", i+1)))
		}
		warnings := 0
		for _, line := range lines() {
			if strings.HasPrefix(line, "level=ERROR") {
				warnings++
			}
		}
		if warnings != maxClasses-1 {
			t.Errorf("%d kinds of errors were logged, want %d", warnings, maxClasses-1)
		}
		NewEpisode(nil, m).Failed(t.Context(), io.EOF) // Does not crash.
	})
}

func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logged(slog.LevelInfo)
		s := NewShared(log, messages)
		s.Failed(t.Context(), "kvm1", io.EOF, "connection", "kvm1")
		check(t, lines(), `level=WARN msg="it fails" err=EOF connection=kvm1`)
		s.Failed(t.Context(), "kvm2", io.EOF)
		s.Failed(t.Context(), "kvm3", io.EOF)
		s.Failed(t.Context(), "kvm1", io.EOF)
		time.Sleep(time.Second)
		for _, party := range []string{"kvm1", "kvm1", "kvm4"} {
			if s.Recovered(t.Context(), party) {
				t.Errorf("the recovery of %s ends the episode while two parties fail", party)
			}
		}
		if _, stopped := s.Stop("kvm2"); stopped {
			t.Error("the episode stops while one party fails")
		}
		check(t, lines())
		if !s.Recovered(t.Context(), "kvm3") {
			t.Error("the last party's recovery does not end the episode")
		}
		check(t, lines(), `level=INFO msg="it works again" for=1s`)
		s.Failed(t.Context(), "kvm1", io.EOF)
		if _, stopped := s.Stop("kvm1"); !stopped {
			t.Error("the last party's end does not stop the episode")
		}
		if got := s.Failures(); got != 5 {
			t.Errorf("got %d failures, want 5", got)
		}
	})
}
