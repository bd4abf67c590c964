package nats

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// The user of a sink that may be forbidden single subjects. Clients without a login may
// do everything.
const (
	jamUser     = "bridge"
	jamPassword = "secret"
)

func jamUsers(deny ...string) []*server.User {
	return []*server.User{
		{Username: "anyone", Password: "anything"},
		{Username: jamUser, Password: jamPassword, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: deny},
		}},
	}
}

// jamServer makes the options of a server with those users.
func jamServer(change func(*server.Options)) func(*server.Options) {
	return func(o *server.Options) {
		o.Users, o.NoAuthUser = jamUsers(), "anyone"
		change(o)
	}
}

// jam forbids the sink to publish events of one domain.
func (s *testServer) jam(t *testing.T) sinktest.Jam {
	t.Helper()
	stuck := sinktest.NewSource(2, 40).Take(8)[7].Object.UUID
	s.reload(t, jamUsers("virt.*."+stuck.String()+".>"))
	return sinktest.Jam{
		Affects: func(e *schema.Event) bool { return e.Object.UUID == stuck },
		Free:    func() { s.reload(t, jamUsers()) },
	}
}

func (s *testServer) reload(t *testing.T, users []*server.User) {
	t.Helper()
	options := s.options
	options.Users = users
	if err := s.ReloadOptions(&options); err != nil {
		t.Fatal(err)
	}
}

// TestOneSubjectIsFull: a subject of the stream that takes no more holds up its own
// domain only, in the same round, and in both schemes.
func TestOneSubjectIsFull(t *testing.T) {
	for _, batch := range []bool{true, false} {
		srv := startServer(t, nil)
		createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) {
			c.AllowBatchPublish, c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = batch, jetstream.DiscardNew, true, 4
		})
		sink := newSink(t, Config{URL: srv.ClientURL(), Subject: "virt.{connection}.{uuid}"})
		source := sinktest.NewSource(1, 3)
		events := source.Take(6) // Two of each domain.
		if _, err := sinktest.Pump(t.Context(), sink, events, 6); err != nil {
			t.Fatal(err)
		}
		more := source.Take(6)
		hot := more[1]
		for i, e := range source.Take(9) { // The hot domain gets three more in between.
			if i%3 == 1 {
				more = slices.Insert(more, 2, e)
			}
		}
		full := func(e *schema.Event) bool { return e.Object.UUID == hot.Object.UUID }
		o, err := sinktest.Deliver(t.Context(), sink, more)
		if err != nil {
			t.Fatal(err)
		}
		taken := 0
		for i := range more {
			switch {
			case full(&more[i]) && o.Acknowledged[i]:
				taken++
			case full(&more[i]) == o.Acknowledged[i] || o.Refused[i] != nil:
				t.Errorf("batch=%t: event %d of domain %s: acknowledged %t, refused %v",
					batch, i, more[i].Object.Name, o.Acknowledged[i], o.Refused[i])
			}
		}
		if taken != 2 || o.Err == nil || !strings.Contains(o.Err.Error(), "maximum messages per subject exceeded; stream VIRTCAST is full") {
			t.Errorf("batch=%t: %d events of the full subject were stored, want 2; %v", batch, taken, o.Err)
		}
		if !sink.link.usable() {
			t.Errorf("batch=%t: the connection is given up because of one subject", batch)
		}
		closeSink(t, sink)
	}
}

// TestRoundsWithoutMemory: what a round leaves open may be presented in any later round,
// with or without newer events, and what was stored without an answer is not stored
// twice.
func TestRoundsWithoutMemory(t *testing.T) {
	srv := startServer(t, nil)
	p := startProxy(t, srv.Addr().String())
	createStream(t, connectClient(t, srv.ClientURL()), nil)
	sink := newSink(t, Config{URL: p.url()})
	source := sinktest.NewSource(2, 7)
	var all, waiting []schema.Event
	for round := range 60 {
		fresh := source.Take(40)
		all, waiting = append(all, fresh...), append(waiting, fresh...)
		if round%3 == 1 {
			p.cutAfter(5_000 + 400*round)
		}
		o, err := sinktest.Deliver(t.Context(), sink, waiting)
		if err != nil {
			t.Fatal(err)
		}
		kept := waiting[:0:0]
		for i := range waiting {
			if o.Open(i) {
				kept = append(kept, waiting[i])
			}
		}
		waiting = kept
	}
	if _, err := sinktest.Pump(t.Context(), sink, waiting, 1000); err != nil {
		t.Fatal(err)
	}
	if r := sinktest.Check(all, readStream(t, srv.ClientURL())); !r.OK() {
		t.Errorf("stored events: %+v", r)
	}
	closeSink(t, sink)
}
