package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// TestOtherStream: what another stream takes, because it listens on the subjects now,
// does not count as stored, in both schemes. Nor does it get there.
func TestOtherStream(t *testing.T) {
	for _, batch := range []bool{true, false} {
		srv := startServer(t, nil)
		nc := connectClient(t, srv.ClientURL())
		createStream(t, nc, func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batch })
		sink := newSink(t, Config{URL: srv.ClientURL()})
		events := sinktest.NewSource(1, 20).Take(300)
		if _, err := sinktest.Pump(t.Context(), sink, events[:100], 50); err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteStream(t.Context(), "VIRTCAST"); err != nil {
			t.Fatal(err)
		}
		createStream(t, nc, func(c *jetstream.StreamConfig) {
			c.Name, c.Storage, c.AllowBatchPublish = "OTHER", jetstream.MemoryStorage, batch
		})
		o, err := sinktest.Deliver(t.Context(), sink, events[100:])
		if err != nil {
			t.Fatal(err)
		}
		if stored, refused, _ := o.Count(); stored != 0 || refused != 0 {
			t.Errorf("batch=%t: %d events count as stored, %d as refused, want none", batch, stored, refused)
		}
		if o.Err == nil || !strings.Contains(o.Err.Error(), "another stream listens on virt.>") {
			t.Errorf("batch=%t: Deliver = %v, want that another stream listens", batch, o.Err)
		}
		other, err := js.Stream(t.Context(), "OTHER")
		if err != nil {
			t.Fatal(err)
		}
		if n := other.CachedInfo().State.Msgs; n != 0 {
			t.Errorf("batch=%t: the other stream has %d messages, want none", batch, n)
		}
		closeSink(t, sink)
	}
}

// TestOtherStreamAnswers: an acknowledgement of another stream is none, whatever header
// was sent.
func TestOtherStreamAnswers(t *testing.T) {
	answer := &natsgo.Msg{Data: []byte(`{"stream":"OTHER","seq":1}`)}
	if _, err := parseReply(answer, "VIRTCAST"); !errors.Is(err, errOtherStream) {
		t.Errorf("answer of another stream: %v, want %v", err, errOtherStream)
	}
	if r, err := parseReply(answer, "OTHER"); err != nil || r.Stream != "OTHER" {
		t.Errorf("answer of the stream: %+v, %v", r, err)
	}
}

// oneByOne delivers each event in a round of its own, and returns how many were stored
// and how many were refused.
func oneByOne(t *testing.T, sink sinktest.Sink, events ...schema.Event) (stored, refused int) {
	t.Helper()
	for _, e := range events {
		o, err := sinktest.Deliver(t.Context(), sink, []schema.Event{e})
		if err != nil {
			t.Fatal(err)
		}
		s, r, _ := o.Count()
		if s+r != 1 {
			t.Fatal(o.Err)
		}
		stored, refused = stored+s, refused+r
	}
	return stored, refused
}

// TestStreamLimitRaised: a max_msg_size that is raised is noticed with the next event
// that needs it, although the connection stays, and the order of the domains stays, too.
func TestStreamLimitRaised(t *testing.T) {
	for _, batch := range []bool{true, false} {
		srv := startServer(t, nil)
		nc := connectClient(t, srv.ClientURL())
		stream := createStream(t, nc, func(c *jetstream.StreamConfig) { c.AllowBatchPublish, c.MaxMsgSize = batch, 4096 })
		sink := newSink(t, Config{URL: srv.ClientURL()})
		source := sinktest.NewSource(1, 3)
		events := source.Take(40)
		for _, i := range []int{10, 25, 26} {
			events[i].Object.Name = strings.Repeat("x", 8192)
		}
		if o, err := sinktest.Deliver(t.Context(), sink, events[:20]); err != nil || o.Refused[10] == nil || o.Err != nil {
			t.Fatalf("batch=%t: the event is not refused: %v", batch, errors.Join(err, o.Err))
		}
		c := stream.CachedInfo().Config
		c.MaxMsgSize = 64 << 10
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		link := sink.link
		o, err := sinktest.Deliver(t.Context(), sink, events[20:])
		if err != nil {
			t.Fatal(err)
		}
		if stored, refused, open := o.Count(); stored != 20 {
			t.Errorf("batch=%t: after the limit was raised %d are stored, %d refused, %d open, want 20 stored (%v)", batch, stored, refused, open, o.Err)
		}
		if stored, _ := oneByOne(t, sink, events[10]); stored != 1 { // the dead letter
			t.Errorf("batch=%t: the dead letter is refused again", batch)
		}
		want := append(append(append([]schema.Event{}, events[:10]...), events[11:]...), events[10])
		got := readStream(t, srv.ClientURL())
		if r := sinktest.Check(want[:39], got[:min(39, len(got))]); !r.OK() || len(got) != 40 {
			t.Errorf("batch=%t: %d stored events: %+v", batch, len(got), r)
		}
		if sink.link != link {
			t.Errorf("batch=%t: the connection was given up", batch)
		}
		closeSink(t, sink)
	}
}

// TestMaxPayloadRaised: a max_payload that is raised on the server is noticed without a
// restart of either.
func TestMaxPayloadRaised(t *testing.T) {
	for _, mode := range []Mode{ModeJetStream, ModeCore} {
		srv := startServer(t, func(o *server.Options) { o.MaxPayload = 8 << 10 })
		nc := connectClient(t, srv.ClientURL())
		if mode == ModeJetStream {
			createStream(t, nc, nil)
		}
		sink := newSink(t, Config{URL: srv.ClientURL(), Mode: mode})
		events := sinktest.NewSource(1, 3).Take(6)
		events[2].Object.Name = strings.Repeat("x", 16<<10)
		o, err := sinktest.Deliver(t.Context(), sink, events[:5])
		if err != nil {
			t.Fatal(err)
		}
		if stored, _, _ := o.Count(); stored != 4 || o.Refused[2] == nil {
			t.Fatalf("%s: %d events are stored, want all but the one that is too large (%v)", mode, stored, o.Err)
		}
		options := srv.options
		options.MaxPayload = 1 << 20
		if err := srv.ReloadOptions(&options); err != nil {
			t.Fatal(err)
		}
		time.Sleep(payloadAge)
		if stored, refused := oneByOne(t, sink, events[2], events[5]); stored != 2 {
			t.Errorf("%s: after max_payload was raised %d events are stored and %d refused, want 2 stored", mode, stored, refused)
		}
		closeSink(t, sink)
	}
}

// TestGuard: what may be on its way through the leader of a stream with replicas is not
// acknowledged before a majority has it, although an earlier round of the same process
// left nothing open. That round held only what the stream knew.
func TestGuard(t *testing.T) {
	servers := startCluster(t, 3)
	nc := connectClient(t, servers[0].ClientURL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	createReplicated(t, js, true)
	events := sinktest.NewSource(1, 20).Take(40)
	earlier := newSink(t, Config{URL: servers[0].ClientURL()})
	if _, err := sinktest.Pump(t.Context(), earlier, events[:20], 20); err != nil {
		t.Fatal(err)
	}
	closeSink(t, earlier)
	leader := leaderOf(t, js, servers)
	sink := newSink(t, Config{URL: leader.ClientURL(), AckTimeout: time.Second})
	defer closeSink(t, sink)
	if _, err := sinktest.Pump(t.Context(), sink, events[:20], 20); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if s != leader {
			s.stop()
		}
	}
	// The earlier process had sent these, and the leader cannot store them.
	direct := connectClient(t, leader.ClientURL())
	for i := range events[20:] {
		m := sink.encoder.encode(&events[20+i])
		m.Reply = "nobody"
		if err := direct.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := direct.Flush(); err != nil {
		t.Fatal(err)
	}
	o, err := sinktest.Deliver(t.Context(), sink, events[20:])
	if err != nil {
		t.Fatal(err)
	}
	if stored, refused, _ := o.Count(); stored != 0 || refused != 0 {
		t.Errorf("%d events count as stored on a majority, and %d as refused, while there is no majority", stored, refused)
	}
}

// leaderOf returns the server that leads the stream.
func leaderOf(t *testing.T, js jetstream.JetStream, servers []*testServer) *testServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	name := openStream(ctx, t, js).CachedInfo().Cluster.Leader
	for _, s := range servers {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("stream leader %q is none of the servers", name)
	return nil
}

// TestGuardOpens: the guard of a stream with replicas opens with a message that is stored
// after everything sent before has settled, and not with a duplicate.
func TestGuardOpens(t *testing.T) {
	now := time.Now()
	var g guard
	round := func(at time.Duration, replicas int, stored, open, unanswered bool) (safe bool) {
		safe = g.begin(now.Add(at), replicas)
		if stored {
			g.stored()
		}
		g.end(now.Add(at), open, unanswered)
		return safe
	}
	steps := []struct {
		at                       time.Duration
		replicas                 int
		stored, open, unanswered bool
		want                     bool
	}{
		{at: 0, replicas: 3, stored: true}, // sent before an earlier process's messages have settled
		{at: 2 * time.Second, replicas: 3}, // duplicates only
		{at: 3 * time.Second, replicas: 3, stored: true},
		{at: 4 * time.Second, replicas: 3, want: true},
		{at: 5 * time.Second, replicas: 3, open: true, unanswered: true, want: true},
		{at: 5500 * time.Millisecond, replicas: 3, stored: true},
		{at: 7 * time.Second, replicas: 3, stored: true, open: true}, // an event that the stream does not take
		{at: 8 * time.Second, replicas: 3},
		{at: 9 * time.Second, replicas: 3, want: true},
	}
	for i, s := range steps {
		if safe := round(s.at, s.replicas, s.stored, s.open, s.unanswered); safe != s.want {
			t.Errorf("round %d: a batch is safe: %t, want %t", i, safe, s.want)
		}
	}
	g = guard{}
	for i, want := range []bool{false, true} { // One replica has nothing on its way.
		if safe := round(0, 1, false, false, false); safe != want {
			t.Errorf("one replica, round %d: a batch is safe: %t, want %t", i, safe, want)
		}
	}
}

// TestOutageBeyondWindow: what was stored without an answer is not stored twice, although
// the stream has forgotten its ids when it is presented again: by the same process, and
// by the next one.
func TestOutageBeyondWindow(t *testing.T) {
	for _, batch := range []bool{true, false} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("batch=%t/restart=%t", batch, restart), func(t *testing.T) {
				srv := startServer(t, nil)
				createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) {
					c.AllowBatchPublish, c.Duplicates = batch, time.Second
				})
				p := startProxy(t, srv.Addr().String())
				cfg := Config{URL: p.url(), AckTimeout: time.Second, ConnectTimeout: time.Second}
				sink := newSink(t, cfg)
				source := sinktest.NewSource(2, 20)
				events := source.Take(2000)
				events[1000] = source.Gap(0)
				begin := time.Now()
				for i := range events {
					events[i].Received = begin
				}
				if _, err := sinktest.Pump(t.Context(), sink, events[:20], 20); err != nil {
					t.Fatal(err)
				}
				p.mute() // Answers do not come back any more.
				o, err := sinktest.Deliver(t.Context(), sink, events[20:])
				if err != nil {
					t.Fatal(err)
				}
				before := len(readStream(t, srv.ClientURL()))
				stored, _, open := o.Count()
				if before <= 20+stored || open == 0 {
					t.Fatalf("%d events are stored and %d acknowledged: the fault did not work", before, 20+stored)
				}
				time.Sleep(1500 * time.Millisecond)
				p.unmute()
				if restart {
					closeSink(t, sink)
					sink = newSink(t, cfg)
					// A round of new events alone does not end what the process before
					// left.
					other := sinktest.NewSource(3, 21).Take(21)[20:]
					other[0].Received = time.Now()
					if _, err := sinktest.Pump(t.Context(), sink, other, 1); err != nil {
						t.Fatal(err)
					}
					events = append(events, other...)
				}
				var rest []schema.Event
				for i := range o.Acknowledged {
					if o.Open(i) {
						rest = append(rest, events[20+i])
					}
				}
				if _, err := sinktest.Pump(t.Context(), sink, rest, 2000); err != nil {
					t.Fatal(err)
				}
				if r := sinktest.Check(events, readStream(t, srv.ClientURL())); !r.OK() {
					t.Errorf("%d events were stored before the outage; at the end: %+v", before, r)
				}
				closeSink(t, sink)
			})
		}
	}
}

// TestOutageWithoutPermission: where the stream may not be asked, events are sent again
// nevertheless, and the log names the missing permission.
func TestOutageWithoutPermission(t *testing.T) {
	srv := startServer(t, func(o *server.Options) {
		o.Users, o.NoAuthUser = restricted("$JS.API.STREAM.MSG.GET.>"), "anyone"
		o.Users = append(o.Users, &server.User{Username: "anyone", Password: "anything"})
	})
	createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) { c.Duplicates = time.Second })
	var log strings.Builder
	sink, err := New(Config{URL: srv.ClientURL(), Username: "u", Password: "p"}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSink(t, sink)
	events := sinktest.NewSource(1, 20).Take(100)
	for i := range events {
		events[i].Received = time.Now().Add(-time.Minute)
	}
	if _, err := sinktest.Pump(t.Context(), sink, events, 50); err != nil {
		t.Fatal(err)
	}
	if r := sinktest.Check(events, readStream(t, srv.ClientURL())); !r.OK() {
		t.Errorf("stored events: %+v", r)
	}
	const want = "let this user publish to $JS.API.STREAM.MSG.GET.VIRTCAST"
	if n := strings.Count(log.String(), want); n != 1 {
		t.Errorf("the log names the permission %d times, want once:\n%s", n, log.String())
	}
}
