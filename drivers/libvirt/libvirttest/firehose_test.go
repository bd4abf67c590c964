package libvirttest

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// dialUnix returns a connection to s through a unix socket.
func dialUnix(t testing.TB, s *Server) net.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	if _, err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestFirehoseIsWholeAndInOrder(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	const events, domains = 20_011, 37
	p := openPeer(t, dialUnix(t, s), s.URI(), wire.OpenReadOnly)
	p.register(nil)
	one := FirehoseDomain(5, 0)
	q := openPeer(t, dialUnix(t, s), s.URI(), wire.OpenReadOnly)
	q.register(&one)

	done := make(chan FirehoseResult, 1)
	go func() {
		result, err := s.Firehose(context.Background(), FirehoseOptions{Domains: domains, Events: events, Clients: 2})
		if err != nil {
			t.Errorf("firehose: %v", err)
		}
		done <- result
	}()
	ofOne := events / domains
	if 5 < events%domains {
		ofOne++
	}
	var tally FirehoseTally
	for range events {
		m := p.event()
		if err := tally.Add(m.Domain, m.Event, m.Detail); err != nil {
			t.Fatal(err)
		}
	}
	for k := range ofOne {
		if m := q.event(); m.Domain != FirehoseDomain(5, k) {
			t.Fatalf("event %d: got %+v, want %+v", k, m.Domain, FirehoseDomain(5, k))
		}
	}
	result := <-done
	if len(result.Clients) != 2 || result.Events != events {
		t.Fatalf("got %+v, want 2 clients and %d events", result, events)
	}
	for i, want := range []int{events, ofOne} {
		got := result.Clients[i]
		if got.Queued != uint64(want) || got.Written != uint64(want) || got.First != 0 {
			t.Errorf("client %d: got %+v, want %d queued and written from 0", i, got, want)
		}
	}
	if tally.Events != events || tally.Lost+tally.Repeated+tally.Foreign != 0 {
		t.Errorf("tally: got %+v, want %d events and no fault", tally, events)
	}
	d, _ := s.Domain(FirehoseDomain(0, 0).UUID)
	last := (events - 1) / domains
	if got, want := d.State().ID, FirehoseDomain(0, last).ID; got != want && got != -1 {
		t.Errorf("state after the firehose: got id %d, want %d or -1", got, want)
	}
}

func TestFirehoseBlocksWithTheSocket(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	p := openPeer(t, s.Pipe(), s.URI(), 0)
	p.register(nil)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	const window, batch = 10_000, 10
	result, err := s.Firehose(ctx, FirehoseOptions{Window: window, Batch: batch})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got error %v, want the context's", err)
	}
	c := result.Clients[0]
	if c.Written != 0 || c.Queued*76 > window+batch*76 {
		t.Errorf("got %+v, want nothing written and at most a window queued", c)
	}
}

func TestFirehoseCountsWhatWasWrittenBeforeACut(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	p := openPeer(t, dialUnix(t, s), s.URI(), 0)
	p.register(nil)
	written := s.Clients()[0].Info().Frames
	s.Clients()[0].CutAfter(1234)
	result, err := s.Firehose(context.Background(), FirehoseOptions{Events: 1300, Batch: 100})
	if err != nil && len(result.Clients) == 0 {
		t.Fatal(err)
	}
	_ = written
	if got := result.Clients[0]; got.Written != 1234 || got.Closed != ClosedByCut {
		t.Errorf("got %+v, want 1234 written and a cut", got)
	}
	for range 1234 {
		p.event()
	}
	p.wantEOF()
}

func TestFirehoseTallySeesFaults(t *testing.T) {
	add := func(t *FirehoseTally, i, k int) error {
		event, detail := FirehoseEvent(k)
		return t.Add(FirehoseDomain(i, k), event, detail)
	}
	var tally FirehoseTally
	for _, k := range []int{3, 4, 5} {
		if err := add(&tally, 1, k); err != nil {
			t.Errorf("number %d: %v", k, err)
		}
	}
	for _, k := range []int{7, 6, 7} {
		if err := add(&tally, 1, k); err == nil {
			t.Errorf("number %d: no error", k)
		}
	}
	if err := tally.Add(schema.Domain{Name: "x", ID: 1}, 2, 0); err == nil {
		t.Error("foreign domain: no error")
	}
	if tally.Events != 6 || tally.Lost != 1 || tally.Repeated != 2 || tally.Foreign != 1 {
		t.Errorf("got %+v, want 6 events, 1 lost, 2 repeated, 1 foreign", tally)
	}
}

// BenchmarkFirehose is flat out into a unix socket whose reader discards.
func BenchmarkFirehose(b *testing.B) {
	s := NewServer(Options{})
	defer s.Close()
	p := openPeer(b, dialUnix(b, s), s.URI(), 0)
	p.register(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{p.conn}, make([]byte, 256<<10))
	}()
	b.ReportAllocs()
	b.ResetTimer()
	result, err := s.Firehose(context.Background(), FirehoseOptions{Events: b.N})
	b.StopTimer()
	if err != nil || result.Clients[0].Written != uint64(b.N) {
		b.Fatalf("got %+v, error %v, want %d written", result, err, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	s.Close()
	<-done
}
