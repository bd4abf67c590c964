package libvirttest

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
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
	s.Clients()[0].CutAfter(1234)
	result, err := s.Firehose(context.Background(), FirehoseOptions{Events: 1300, Batch: 100})
	if err != nil && len(result.Clients) == 0 {
		t.Fatal(err)
	}
	if got := result.Clients[0]; got.Written != 1234 || got.Closed != ClosedByCut {
		t.Errorf("got %+v, want 1234 written and a cut", got)
	}
	for range 1234 {
		p.event()
	}
	p.wantEOF()
}

// TestFirehoseKeepsItsRate: what a rate promises, and what a time without clients does to
// it.
func TestFirehoseKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		defer s.Close()
		result := make(chan FirehoseResult, 1)
		go func() {
			r, err := s.Firehose(t.Context(), FirehoseOptions{Events: 500, Rate: 100})
			if err != nil {
				t.Error(err)
			}
			result <- r
		}()
		time.Sleep(time.Hour) // nobody is there
		p := openPeer(t, s.Pipe(), s.URI(), 0)
		p.register(nil)
		start := time.Now()
		for range 500 {
			p.event()
		}
		if got := time.Since(start); got < 4*time.Second || got > 6*time.Second {
			t.Errorf("500 events took %v, want about 5s", got)
		}
		if r := <-result; r.Clients[0].Written != 500 {
			t.Errorf("got %+v, want 500 written", r)
		}
	})
}

// TestFirehoseClientsComeAndGo: each connection gets a whole stretch of the stream, and
// the result says which.
func TestFirehoseClientsComeAndGo(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	const events, domains, clients, each = 30_000, 7, 5, 5_000 // less is left in a cut client's window than for the last one
	result := make(chan FirehoseResult, 1)
	go func() {
		r, err := s.Firehose(context.Background(), FirehoseOptions{Events: events, Domains: domains, Window: 10_000})
		if err != nil {
			t.Error(err)
		}
		result <- r
	}()
	var firsts []int
	for i := range clients {
		p := openPeer(t, s.Pipe(), s.URI(), 0)
		p.register(nil)
		var tally FirehoseTally
		for n, number := 0, 0; number < events-1 && (n < each || i == clients-1); n++ {
			m := p.event()
			if err := tally.Add(m.Domain, m.Event, m.Detail); err != nil {
				t.Fatal(err)
			}
			number = int(m.Domain.ID-1)*domains + int(m.Domain.UUID[15])
			if n == 0 {
				firsts = append(firsts, number)
			}
		}
		if i == clients-1 {
			break
		}
		_ = p.conn.Close()
		for len(s.Clients()) > 0 {
			runtime.Gosched()
		}
	}
	r := <-result
	if len(r.Clients) != clients || len(firsts) != clients {
		t.Fatalf("got %d clients, want %d", len(r.Clients), clients)
	}
	next := 0
	for i, c := range r.Clients {
		if c.First != firsts[i] || c.First != next || c.Written > c.Queued {
			t.Errorf("client %d: got %+v, want first %d", i, c, firsts[i])
		}
		next = c.First + int(c.Queued)
	}
	if next != events {
		t.Errorf("%d events were queued, want %d", next, events)
	}
}

func TestFirehoseOptionsAreChecked(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	for name, opts := range map[string]FirehoseOptions{
		"domains": {Domains: -1}, "too many domains": {Domains: 1_000_001}, "events": {Events: -1}, "rate": {Rate: -1},
		"batch": {Batch: -1}, "window": {Window: -1},
	} {
		if _, err := s.Firehose(context.Background(), opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r, err := s.Firehose(context.Background(), FirehoseOptions{Events: 10, Clients: -1})
	if err != nil || r.Events != 10 || len(r.Clients) != 0 {
		t.Errorf("nobody to wait for: got %+v, %v, want 10 events into the void", r, err)
	}
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
	if err := tally.Add(schema.Object{Name: "x", ID: 1}, 2, 0); err == nil {
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
