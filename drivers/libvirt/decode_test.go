package libvirt

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket"

	"github.com/virtcast/virtcast/drivers"
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
			Domain: schema.Object{
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

// routed returns a session without a connection, with the callback 1, whose reader the
// test plays.
func routed(out func(drivers.Batch)) *Session {
	s := newSession(nil, Config{Name: "bench"}, Options{}, out)
	s.callbacks[callbackOf(schema.FamilyDomain, 1)] = schema.KindLifecycle
	s.connection = &schema.Connection{Name: "bench"}
	return s
}

// BenchmarkDecodeLifecycle measures an event from its frame's payload to the handler:
// decode, find the callback, batch, hand over. go-libvirt's part is Route, which decodes
// the payload and looks for the stream of the callback; there is none, so its queue and
// two channels cost it nothing.
//
// "ratio" runs both on the same payloads in turns of a thousand and compares the fastest
// turn of each, so that what else the machine does matters little. It is theirs over
// ours: larger is better.
func BenchmarkDecodeLifecycle(b *testing.B) {
	const n = 1000
	stream := lifecycleStream(n)
	payloads := payloadsOf(b, stream)
	events := 0
	s := routed(func(batch drivers.Batch) { events += len(batch.Observations) })
	ours := func() {
		for _, payload := range payloads {
			if err := s.route(eventHeader, payload); err != nil {
				b.Fatal(err)
			}
			if len(s.batch) == maxBatch {
				s.flush()
			}
		}
	}
	l := golibvirt.NewWithDialer(nil)
	h := socket.Header{
		Program: wire.ProgramRemote, Version: 1, Procedure: uint32(wire.ProcDomainEventLifecycle), Type: 2, Serial: 1,
	}
	theirs := func() {
		for _, payload := range payloads {
			l.Route(&h, payload)
		}
	}
	b.Run("ratio", func(b *testing.B) {
		oursBest, theirsBest := time.Hour, time.Hour
		for b.Loop() {
			start := time.Now()
			ours()
			between := time.Now()
			theirs()
			oursBest = min(oursBest, between.Sub(start))
			theirsBest = min(theirsBest, time.Since(between))
		}
		b.ReportMetric(0, "ns/op") // of both together says nothing
		b.ReportMetric(float64(oursBest)/n, "ns/event")
		b.ReportMetric(float64(theirsBest)/n, "ns/go-libvirt-event")
		b.ReportMetric(float64(theirsBest)/float64(oursBest), "x-go-libvirt")
	})
	b.Run("virtcast", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ours()
		}
	})
	b.Run("go-libvirt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			theirs()
		}
	})
	b.Run("virtcast-from-stream", func(b *testing.B) {
		s.frames = wire.NewReader(&loop{bytes: stream})
		b.ReportAllocs()
		for b.Loop() {
			for range n {
				header, payload, err := s.frames.Next()
				if err != nil {
					b.Fatal(err)
				}
				if err := s.route(header, payload); err != nil {
					b.Fatal(err)
				}
				if len(s.batch) == maxBatch || !s.frames.Ready() {
					s.flush()
				}
			}
		}
	})
	if events == 0 {
		b.Fatal("nothing was observed")
	}
}

func payloadsOf(b *testing.B, stream []byte) [][]byte {
	b.Helper()
	var payloads [][]byte
	for r := wire.NewReader(bytes.NewReader(stream)); ; {
		_, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			return payloads
		}
		if err != nil {
			b.Fatal(err)
		}
		payloads = append(payloads, bytes.Clone(payload))
	}
}

// TestDecodeAllocations holds that an event of a domain that was seen before costs no
// allocation.
func TestDecodeAllocations(t *testing.T) {
	s := routed(func(drivers.Batch) {})
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
			s := routed(func(batch drivers.Batch) { seen = append(seen, batch.Observations...) })
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
			d := wire.NewDecoder(payload)
			message := d.LifecycleMessage()
			var e wire.Encoder
			e.LifecycleMessage(wire.LifecycleMessage{CallbackID: message.CallbackID, Domain: o.Object, Event: o.Event, Detail: o.Detail})
			var want wire.Encoder
			want.LifecycleMessage(message)
			if !bytes.Equal(e.Payload(), want.Payload()) || len(e.Payload()) > len(payload) {
				t.Fatalf("%x was observed as %+v", payload, o)
			}
		}
	})
}

func TestLongNameIsCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		want int
	}{
		{strings.Repeat("x", drivers.MaxText), drivers.MaxText},
		{strings.Repeat("x", drivers.MaxText+1), drivers.MaxText},
		{strings.Repeat("ö", drivers.MaxText), drivers.MaxText - 1},
	} {
		got := new(eventDecoder).name([]byte(tt.name))
		if len(got) != tt.want || !utf8.ValidString(got) {
			t.Errorf("a name of %d bytes became one of %d, want %d", len(tt.name), len(got), tt.want)
		}
	}
}
