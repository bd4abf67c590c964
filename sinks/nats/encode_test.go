package nats

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	natsgo "github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestEncode(t *testing.T) {
	s, err := parseSubject(DefaultSubject)
	if err != nil {
		t.Fatal(err)
	}
	source := sinktest.NewSource(2, 3)
	events := append(source.Take(5), source.Gap(1))
	events = append(events, source.Peculiar()...)
	ids := map[string]bool{}
	for _, content := range []Content{ContentStructured, ContentBinary} {
		encoder, again := newEncoder(s, content, "VIRTCAST"), newEncoder(s, content, "VIRTCAST")
		for i := range events {
			e := &events[i]
			m := encoder.encode(e)
			// What a message holds does not depend on what was encoded before it.
			if diff := cmp.Diff(again.encode(e).Header, m.Header); diff != "" {
				t.Errorf("header (-other +this):\n%s", diff)
			}
			again = newEncoder(s, content, "VIRTCAST")
			id := m.Header.Get(messageIDHeader)
			if !strings.HasSuffix(id, "-"+e.ID()) || len(id) != 12+1+len(e.ID()) {
				t.Errorf("%s = %q, want 12 characters and %q", messageIDHeader, id, e.ID())
			}
			if ids[id] != (content == ContentBinary) {
				t.Errorf("%s %q: want the same in both modes, and another one for each event", messageIDHeader, id)
			}
			ids[id] = true
			header, total := encoder.size()
			if want := (&natsgo.Msg{Header: m.Header}).Size(); header != want || total != want+len(m.Data) {
				t.Errorf("size = %d, %d, want %d, %d", header, total, want, want+len(m.Data))
			}
			want := natsgo.Header{messageIDHeader: {id}, streamHeader: {"VIRTCAST"}}
			if content == ContentStructured {
				want.Set(contentTypeHeader, schema.ContentTypeStructured)
			} else {
				schema.VisitAttributes(e, nil, func(name string, value []byte) {
					want["ce-"+name] = []string{string(value)}
				})
			}
			if diff := cmp.Diff(want, m.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		}
	}
	if m := newEncoder(s, ContentStructured, "").encode(&events[0]); m.Header.Get(messageIDHeader) != "" {
		t.Error("core mode sets " + messageIDHeader)
	}
}

// FuzzReply: whatever a server answers, no more is acknowledged than was sent.
func FuzzReply(f *testing.F) {
	for _, answer := range []string{
		`{"type":"ack","seq":5,"msgs":3}`, `{"type":"ack","seq":99,"msgs":65535}`, `{"type":"gap","last_seq":1,"seq":3}`,
		`{"type":"err","seq":2,"error":{"code":400,"err_code":10054}}`, `{"stream":"S","seq":9,"batch":"b","count":7}`,
		`{"stream":"S","seq":9,"duplicate":true}`, `{"error":{"err_code":10208}}`, ``, `null`, `{}`,
	} {
		f.Add([]byte(answer), "3")
		f.Add([]byte(answer), "-1")
	}
	f.Fuzz(func(t *testing.T, data []byte, index string) {
		l := &link{}
		b := &batch{link: l, prefix: "p.", sent: 10, window: 1}
		b.handle(&natsgo.Msg{Subject: "p." + index, Data: data})
		if b.acked > b.sent || b.window == 0 {
			t.Errorf("acked %d of %d, window %d", b.acked, b.sent, b.window)
		}
		s := newSinkForReplies(t)
		before := s.lanes.inFlight
		ours := s.laneReply(l, "p.", &natsgo.Msg{Subject: "p." + index, Data: data})
		if r := &s.round; ours != (s.lanes.inFlight == before-1) || r.stored+r.refused+r.open != before || r.stored+r.refused > 1 {
			t.Errorf("answered %t, in flight %d of %d, %d stored, %d refused, %d open",
				ours, s.lanes.inFlight, before, r.stored, r.refused, r.open)
		}
	})
}

// newSinkForReplies returns a sink with four unanswered events, in four lanes.
func newSinkForReplies(t *testing.T) *Sink {
	t.Helper()
	s, err := New(Config{URL: "nats://127.0.0.1"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := sinktest.NewSource(1, 4).Take(4)
	s.round.begin(events, func(int, error) {})
	s.order.arrange(events, s.round.settled)
	s.lanes.begin(len(events))
	for i := range events {
		s.lanes.unanswered[i] = true
	}
	s.lanes.inFlight = len(events)
	return s
}

func TestMetrics(t *testing.T) {
	srv := startServer(t, nil)
	registry := prometheus.NewRegistry()
	events := sinktest.NewSource(1, 3).Take(20)
	sink, err := New(Config{URL: srv.ClientURL(), Create: true}, Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSink(t, sink)
	for _, chunk := range [][]schema.Event{events[:10], events[10:]} {
		if n, err := sinktest.Prefix(t.Context(), sink, chunk); n != len(chunk) || err != nil {
			t.Fatalf("Deliver = %d, %v", n, err)
		}
	}
	sink.guard.careful = true // Lanes, as in a new process: they count duplicates.
	if n, err := sinktest.Prefix(t.Context(), sink, events[5:]); n != 15 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	want := map[string]float64{
		"virtcast_nats_delivered_total": 35, "virtcast_nats_duplicates_total": 15,
		"virtcast_nats_connects_total": 1, "virtcast_nats_deliver_seconds": 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if _, err := New(Config{URL: srv.ClientURL()}, Options{Registerer: registry}); err == nil {
		t.Error("New with metrics that are registered already succeeded")
	}
}
