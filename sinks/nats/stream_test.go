package nats

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestCreateStream(t *testing.T) {
	srv := startServer(t, nil)
	sink := newSink(t, Config{
		URL: srv.ClientURL(), Create: true, Stream: "EVENTS", Subject: "vms.{uuid}.{event}",
		MaxAge: time.Hour, MaxBytes: 1 << 20, Duplicates: time.Minute,
	})
	defer closeSink(t, sink)
	if err := sink.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	fit := sink.Fit()
	want := Fit{Stream: "EVENTS", Created: true, Batch: true, MaxMessage: 1 << 20, Duplicates: time.Minute, Replicas: 1}
	if diff := cmp.Diff(want, fit); diff != "" {
		t.Errorf("Fit (-want +got):\n%s", diff)
	}
	js, err := jetstream.New(connectClient(t, srv.ClientURL()))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	got := stream.CachedInfo().Config
	if !cmp.Equal(got.Subjects, []string{"vms.>"}) || got.MaxAge != time.Hour || got.MaxBytes != 1<<20 ||
		got.Discard != jetstream.DiscardOld || got.Storage != jetstream.FileStorage {
		t.Errorf("created stream: %+v", got)
	}
	// What exists is left alone.
	other := newSink(t, Config{URL: srv.ClientURL(), Create: true, Stream: "EVENTS", Subject: "vms.{uuid}.{event}", MaxAge: time.Minute})
	defer closeSink(t, other)
	err = other.Connect(t.Context())
	fit = other.Fit()
	if err != nil || fit.Created || fit.Duplicates != time.Minute {
		t.Errorf("Connect to an existing stream = %+v, %v", fit, err)
	}
}

func closeSink(t *testing.T, sink *Sink) {
	t.Helper()
	if err := sink.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestStreamMisfits: what is wrong with a stream, an account or a server is a transient
// error, in one line that says what to change.
func TestStreamMisfits(t *testing.T) {
	noJetStream := func(o *server.Options) { o.JetStream = false }
	tests := []struct {
		name   string
		server func(*server.Options)
		stream func(*jetstream.StreamConfig) // nil: no stream
		seal   bool
		cfg    Config
		want   string
	}{
		{name: "missing", want: "stream VIRTCAST: API error: code=404 err_code=10059 description=stream not found; " +
			"set create: true, or run: nats stream add VIRTCAST --subjects 'virt.>'"},
		{name: "no jetstream", server: noJetStream, want: "; start the server with JetStream (-js), or set mode: core"},
		{
			name: "other subjects", stream: func(c *jetstream.StreamConfig) { c.Subjects = []string{"virt.*", "vm.>"} },
			want: `stream VIRTCAST: its subjects ["virt.*" "vm.>"] do not cover virt.*.*.*.*.*; add virt.> to its subjects, or change subject`,
		},
		{name: "sealed", stream: func(*jetstream.StreamConfig) {}, seal: true, want: "it is sealed; set stream to another one"},
		{name: "no acks", stream: func(c *jetstream.StreamConfig) { c.NoAck = true }, want: "it acknowledges nothing (no_ack); remove no_ack, or set mode: core"},
		{
			name: "overlap", stream: func(c *jetstream.StreamConfig) { c.Name = "OTHER" }, cfg: Config{Create: true},
			want: "another stream listens on virt.>: set stream to its name, or change subject",
		},
		{name: "replicas", cfg: Config{Create: true, Replicas: 3}, want: "3 replicas need a cluster of as many servers: set replicas: 1, or add servers"},
		{
			name: "too large", server: func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 }, cfg: Config{Create: true, MaxBytes: 1 << 30},
			want: "; lower max_bytes, or raise the server's or the account's JetStream limits",
		},
		{
			name: "full", stream: func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardNew, 2 },
			want: "stream VIRTCAST is full and refuses new messages: raise its limits, or set its discard policy to old",
		},
		{
			name: "no permission for the API", server: func(o *server.Options) { o.Users = restricted("$JS.API.>") },
			cfg:  Config{Username: "u", Password: "p"},
			want: "; let this user publish to $JS.API.STREAM.INFO.VIRTCAST and subscribe to _INBOX.>",
		},
		{
			name: "no permission for the subject", server: func(o *server.Options) { o.Users = restricted("virt.>") },
			cfg: Config{Username: "u", Password: "p", Create: true}, want: "; let this user publish to virt.> and subscribe to _INBOX.>",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := startServer(t, tt.server)
			if tt.stream != nil {
				nc := connectClient(t, srv.ClientURL())
				stream := createStream(t, nc, func(c *jetstream.StreamConfig) {
					c.AllowBatchPublish = false
					tt.stream(c)
				})
				if tt.seal {
					sealStream(t, nc, stream)
				}
			}
			tt.cfg.URL = srv.ClientURL()
			sink := newSink(t, tt.cfg)
			defer closeSink(t, sink)
			begin := time.Now()
			_, err := sinktest.Prefix(t.Context(), sink, sinktest.NewSource(1, 3).Take(3))
			if err == nil || sinktest.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Deliver\n got %v\nwant one line, transient, with %q", err, tt.want)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("Deliver took %v: the reason was known at once", took)
			}
		})
	}
}

func sealStream(t *testing.T, nc *natsgo.Conn, stream jetstream.Stream) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.Sealed = true
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// restricted is a user who may not publish to a subject.
func restricted(subject string) []*server.User {
	return []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{subject}},
	}}}
}

func TestCorePermission(t *testing.T) {
	srv := startServer(t, func(o *server.Options) { o.JetStream, o.Users = false, restricted("virt.>") })
	sink := newSink(t, Config{URL: srv.ClientURL(), Mode: ModeCore, Username: "u", Password: "p"})
	defer closeSink(t, sink)
	n, err := sinktest.Prefix(t.Context(), sink, sinktest.NewSource(1, 3).Take(3))
	if n != 0 || err == nil || !strings.Contains(err.Error(), "let this user publish to virt.>") {
		t.Errorf("Deliver = %d, %v, want 0 and the missing permission", n, err)
	}
}

func TestAdvice(t *testing.T) {
	srv := startServer(t, nil)
	createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) {
		c.AllowBatchPublish, c.Duplicates = false, time.Second
		c.Discard, c.MaxMsgs, c.MaxMsgsPerSubject, c.Retention = jetstream.DiscardNew, 10, 5, jetstream.InterestPolicy
	})
	sink := newSink(t, Config{URL: srv.ClientURL()})
	defer closeSink(t, sink)
	if err := sink.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	fit := sink.Fit()
	for _, want := range []string{"duplicates window is 1s", "discard policy is new", "max_msgs_per_subject is 5", "retention is", "allow_batched is off"} {
		found := false
		for _, advice := range fit.Advice {
			found = found || strings.HasPrefix(advice, want)
		}
		if !found {
			t.Errorf("no advice begins with %q in %q", want, fit.Advice)
		}
	}
	if fit.Batch {
		t.Error("Batch is set for a stream that does not allow it")
	}
}

// TestMaxMessageSize: the limit of the stream makes an event permanent, also when it is
// lowered while connected.
func TestMaxMessageSize(t *testing.T) {
	for _, batch := range []bool{true, false} {
		srv := startServer(t, nil)
		nc := connectClient(t, srv.ClientURL())
		stream := createStream(t, nc, func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batch })
		sink := newSink(t, Config{URL: srv.ClientURL()})
		source := sinktest.NewSource(1, 3)
		if _, err := sinktest.Pump(t.Context(), sink, source.Take(10), 10); err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		c.MaxMsgSize = 4096
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		events := source.Take(100)
		events[60].Object.Name = strings.Repeat("x", 4096)
		o, err := sinktest.Deliver(t.Context(), sink, events)
		if err != nil {
			t.Fatal(err)
		}
		if stored, refused, open := o.Count(); stored != 99 || open != 0 || o.Refused[60] == nil {
			t.Errorf("batch=%t: %d events were stored, %d refused, and %d have no outcome, want 99, number 60, and none (%v)",
				batch, stored, refused, open, o.Err)
		}
		var want []schema.Event
		want = append(append(want, events[:60]...), events[61:]...)
		if r := sinktest.Check(want, readStream(t, srv.ClientURL())[10:]); !r.OK() {
			t.Errorf("batch=%t: stored events: %+v", batch, r)
		}
		closeSink(t, sink)
	}
}
