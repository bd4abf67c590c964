package libvirt

import (
	"bytes"
	"io"
	"math"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// lifecycleStream is what a daemon sends for n events of 100 domains.
func lifecycleStream(n int) []byte {
	var stream []byte
	for i := range n {
		var e wire.Encoder
		e.LifecycleMessage(wire.LifecycleMessage{
			CallbackID: 1,
			Domain: schema.Domain{
				Name: "instance-0000" + string(rune('0'+i%10)) + string(rune('0'+i/10%10)), UUID: schema.UUID{byte(i % 100)}, ID: int32(i % 100),
			},
			Event: int32(i % 9), Detail: int32(i % 3),
		})
		stream = wire.AppendFrame(stream, eventHeader, e.Payload())
	}
	return stream
}

// loop is an endless stream.
type loop struct {
	bytes []byte
	pos   int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.bytes[l.pos:])
	l.pos = (l.pos + n) % len(l.bytes)
	return n, nil
}

// routed returns a session without a connection, with the callback 1, whose reader the test plays.
func routed(observe func([]schema.Observation)) *Session {
	s := newSession(nil, Config{Name: "bench"}, Options{}, observe)
	s.callbacks[callback{schema.FamilyDomain, 1}] = schema.KindLifecycle
	s.connection = &schema.Connection{Name: "bench"}
	return s
}

// BenchmarkDecodeLifecycle measures an event from frame to observation: decode, find the callback,
// batch and hand over. The ratio is the time of go-libvirt's Route (decode and find the stream, of
// which there is none, so that its queue and two channels cost it nothing) to ours, per event, on
// the same payloads in the same run.
func BenchmarkDecodeLifecycle(b *testing.B) {
	const n = 1000
	stream := lifecycleStream(n)
	var payloads [][]byte
	for r := wire.NewReader(bytes.NewReader(stream)); ; {
		_, payload, err := r.Next()
		if err == io.EOF {
			break
		}
		payloads = append(payloads, bytes.Clone(payload))
	}
	var ours, theirs float64
	b.Run("virtcast", func(b *testing.B) {
		events := 0
		s := routed(func(batch []schema.Observation) { events += len(batch) })
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := s.route(eventHeader, payloads[i%n]); err != nil {
				b.Fatal(err)
			}
			if len(s.batch) == maxBatch {
				s.flush()
			}
		}
		if ours = perOp(b); events < b.N-maxBatch {
			b.Fatalf("%d events of %d", events, b.N)
		}
	})
	b.Run("go-libvirt", func(b *testing.B) {
		l := golibvirt.NewWithDialer(nil)
		h := socket.Header{
			Program: wire.ProgramRemote, Version: 1, Procedure: uint32(wire.ProcDomainEventLifecycle),
			Type: 2, Serial: 1,
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.Route(&h, payloads[i%n])
		}
		theirs = perOp(b)
		if ours > 0 {
			b.ReportMetric(theirs/ours, "×virtcast")
		}
	})
	b.Run("virtcast-from-stream", func(b *testing.B) {
		s := routed(func([]schema.Observation) {})
		s.frames = wire.NewReader(&loop{bytes: stream})
		b.ReportAllocs()
		for b.Loop() {
			h, payload, err := s.frames.Next()
			if err != nil {
				b.Fatal(err)
			}
			if err := s.route(h, payload); err != nil {
				b.Fatal(err)
			}
			if len(s.batch) == maxBatch || !s.frames.Ready() {
				s.flush()
			}
		}
	})
}

func perOp(b *testing.B) float64 { return float64(b.Elapsed().Nanoseconds()) / float64(b.N) }

// TestDecodeAllocations holds that an event of a domain that was seen before costs no allocation.
func TestDecodeAllocations(t *testing.T) {
	s := routed(func([]schema.Observation) {})
	frame := eventFrame(1, 2)
	payload := frame[wire.LengthSize+wire.HeaderSize:]
	got := testing.AllocsPerRun(1000, func() {
		if err := s.route(eventHeader, payload); err != nil {
			t.Fatal(err)
		}
		s.flush()
	})
	if got != 0 {
		t.Errorf("%v allocations an event, want 0", got)
	}
}

func TestNamesAreBounded(t *testing.T) {
	var e eventDecoder
	for i := range 3 * maxNames {
		name := []byte{byte(i), byte(i >> 8), 'x'}
		if got := e.name(name); got != string(name) {
			t.Fatalf("name %q became %q", name, got)
		}
	}
	if got := e.name(make([]byte, maxKeptName+1)); len(got) != maxKeptName+1 {
		t.Errorf("a long name has %d bytes", len(got))
	}
	if len(e.names) > maxNames {
		t.Errorf("%d names are kept, want at most %d", len(e.names), maxNames)
	}
}

// FuzzDecodeEvent decodes anything as each event that has a row, and holds that nothing
// but a whole message is observed, unchanged.
func FuzzDecodeEvent(f *testing.F) {
	frame := eventFrame(1, 2)
	f.Add(frame[wire.LengthSize+wire.HeaderSize:])
	f.Add([]byte{0, 0, 0, 1, 255, 255, 255, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for procedure := range eventRows {
			var seen []schema.Observation
			s := routed(func(batch []schema.Observation) { seen = append(seen, batch...) })
			h := eventHeader
			h.Procedure = procedure
			if err := s.route(h, payload); err != nil {
				t.Fatal(err)
			}
			s.flush()
			count := s.Stats()
			if uint64(len(seen))+count.Undecodable+count.Stale != 1 {
				t.Fatalf("%d observed, %+v", len(seen), count)
			}
			if procedure != wire.ProcDomainEventLifecycle || len(seen) == 0 {
				continue
			}
			o := seen[0]
			var e wire.Encoder
			e.LifecycleMessage(wire.LifecycleMessage{CallbackID: o.CallbackID, Domain: o.Domain, Event: o.Event, Detail: o.Detail})
			d := wire.NewDecoder(payload)
			message := d.LifecycleMessage()
			var want wire.Encoder
			want.LifecycleMessage(message)
			if !bytes.Equal(e.Payload(), want.Payload()) || len(e.Payload()) > len(payload) || len(payload) > math.MaxInt32 {
				t.Fatalf("%x was observed as %+v", payload, o)
			}
		}
	})
}
