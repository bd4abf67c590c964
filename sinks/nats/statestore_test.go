package nats

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

const stateBucket = "virt-domains"

func newStateStore(t *testing.T, cfg Config) *StateStore {
	t.Helper()
	s, err := NewStateStore(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// createBucket makes a bucket as the client library does, changed by change.
func createBucket(t *testing.T, nc *natsgo.Conn, change func(*jetstream.KeyValueConfig)) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := jetstream.KeyValueConfig{Bucket: stateBucket}
	if change != nil {
		change(&c)
	}
	kv, err := js.CreateKeyValue(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// TestStateConformance holds that states are stored as reliably as events, in a bucket
// that keeps what was replaced.
func TestStateConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture {
		srv := startServer(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
		p := startProxy(t, srv.Addr().String())
		js, err := jetstream.New(connectClient(t, srv.ClientURL()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: streamOf(stateBucket), Subjects: []string{bucketSubjects + stateBucket + ".>"}, AllowDirect: true, AllowRollup: true,
		}); err != nil {
			t.Fatal(err)
		}
		cfg := Config{URL: p.url(), StateBucket: stateBucket, AckTimeout: 2 * time.Second}
		return sinktest.Fixture{
			Open:     func(t *testing.T) sinktest.Sink { return newStateStore(t, cfg) },
			Read:     func(t *testing.T) []schema.Event { return readBucket(t, srv.ClientURL()) },
			TooLarge: 64 << 10,
			Break: []sinktest.Break{
				{Name: "cut connection", Do: func(*testing.T) {
					p.cutAfter(1 + rand.IntN(2_000_000))
					time.Sleep(100 * time.Millisecond)
				}},
				{Name: "restart server", Do: func(t *testing.T) {
					srv.restart(t)
					time.Sleep(100 * time.Millisecond)
				}},
			},
			Stall:  func(*testing.T) { p.stall() },
			Events: 2000,
		}
	}})
}

// readBucket returns every state that a bucket keeps, in order.
func readBucket(t *testing.T, url string) []schema.Event {
	t.Helper()
	nc := connectClient(t, url)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), streamOf(stateBucket))
	if err != nil {
		t.Fatal(err)
	}
	total := int(stream.CachedInfo().State.Msgs)
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var events []schema.Event
	for len(events) < total {
		m, err := consumer.Next()
		if err != nil {
			t.Fatalf("message %d of %d: %v", len(events), total, err)
		}
		e, err := schema.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		want := "_"
		if !e.Object.UUID.IsZero() {
			want = e.Object.UUID.String()
		}
		if m.Subject() != bucketSubjects+stateBucket+"."+want {
			t.Fatalf("event of %s on subject %s", want, m.Subject())
		}
		events = append(events, e)
	}
	return events
}

// stateOf makes the event that tells a state after an event.
func stateOf(e schema.Event, s schema.State) schema.Event {
	e.State = s
	return e.StateEvent()
}

var (
	running = schema.State{Valid: true, Code: schema.StateRunning, Reason: 1, Persistence: schema.Persistent}
	gone    = schema.State{Valid: true, Code: schema.StateShutoff, Persistence: schema.NotPersistent, Gone: true}
)

// TestStateBucket holds what a bucket that the store made shows through the client
// library's own view of it.
func TestStateBucket(t *testing.T) {
	srv := startServer(t, nil)
	nc := connectClient(t, srv.ClientURL())
	cfg := Config{URL: srv.ClientURL(), StateBucket: stateBucket, Create: true}
	store := newStateStore(t, cfg)
	err := store.Connect(t.Context())
	fit := store.Fit()
	if err != nil || !fit.Created || fit.Stream != "KV_virt-domains" || len(fit.Advice) > 0 {
		t.Fatalf("Connect: %+v, %v", fit, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), stateBucket)
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(t.Context())
	if err != nil || status.History() != 1 || status.TTL() != 0 {
		t.Errorf("history %d, TTL %v, %v", status.History(), status.TTL(), err)
	}
	if again := createBucket(t, nc, func(c *jetstream.KeyValueConfig) {
		c.Description = "last known states of virtual machines, kept by virtcast"
	}); again == nil {
		t.Error("it is not what the client library makes")
	}
	events := sinktest.NewSource(1, 2).Take(5)
	states := []schema.Event{stateOf(events[0], running), stateOf(events[1], running), stateOf(events[2], gone)}
	if n, err := sinktest.Prefix(t.Context(), store, states); n != 3 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	entry, err := kv.Get(t.Context(), events[1].Object.UUID.String())
	if err != nil {
		t.Fatal(err)
	}
	var ce event.Event
	if err := errors.Join(ce.UnmarshalJSON(entry.Value()), ce.Validate()); err != nil {
		t.Errorf("the SDK does not read %s: %v", entry.Value(), err)
	}
	if ce.Type() != "org.libvirt.domain.state.v1" || ce.Subject() != entry.Key() {
		t.Errorf("%s has the key %s", entry.Value(), entry.Key())
	}
	if _, err := kv.Get(t.Context(), events[0].Object.UUID.String()); !errors.Is(err, jetstream.ErrKeyDeleted) && !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("a domain that is gone: %v", err)
	}
	keys, err := kv.Keys(t.Context())
	if diff := cmp.Diff([]string{events[1].Object.UUID.String()}, keys); diff != "" || err != nil {
		t.Errorf("keys (-want +got)\n%s, %v", diff, err)
	}
	raw, err := js.Stream(t.Context(), fit.Stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := raw.GetLastMsgForSubject(t.Context(), bucketSubjects+stateBucket+"."+events[0].Object.UUID.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"KV-Operation": "DEL", "ce-type": "org.libvirt.domain.state.v1", "ce-id": states[2].ID(), "ce-domainsequence": "00000000000000000002",
	} {
		if got := m.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("header %s of a delete marker is %q, want %q", name, got, want)
		}
	}
	// The domain comes back.
	if n, err := sinktest.Prefix(t.Context(), store, []schema.Event{stateOf(events[3], running), stateOf(events[4], running)}); n != 2 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	if keys, err = kv.Keys(t.Context()); len(keys) != 2 || err != nil {
		t.Errorf("keys %v, %v, want both domains", keys, err)
	}
}

func TestStateBucketDoesNotFit(t *testing.T) {
	const cure = ", or set state_bucket to another one"
	for name, test := range map[string]struct {
		change func(*jetstream.KeyValueConfig)
		want   string
		advice string
	}{
		"good":    {nil, "", ""},
		"expires": {func(c *jetstream.KeyValueConfig) { c.TTL = time.Hour }, "bucket virt-domains: its TTL is 1h0m0s, so that the states of domains that are silent for longer are removed; remove the TTL" + cure, ""},
		"limited": {func(c *jetstream.KeyValueConfig) { c.MaxBytes = 1 << 20 }, "", "it is limited to 1048576 bytes"},
		"history": {func(c *jetstream.KeyValueConfig) { c.History = 5 }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := startServer(t, nil)
			createBucket(t, connectClient(t, srv.ClientURL()), test.change)
			store := newStateStore(t, Config{URL: srv.ClientURL(), StateBucket: stateBucket})
			err := store.Connect(t.Context())
			fit := store.Fit()
			if got := errorText(err); got != test.want {
				t.Errorf("error %q, want %q", got, test.want)
			}
			if got := strings.Join(fit.Advice, "; "); !strings.HasPrefix(got, test.advice) || test.advice == "" && got != "" {
				t.Errorf("advice %q, want %q", got, test.advice)
			}
		})
	}
}

func TestStateBucketIsMissing(t *testing.T) {
	srv := startServer(t, nil)
	err := newStateStore(t, Config{URL: srv.ClientURL(), StateBucket: stateBucket}).Connect(t.Context())
	if got, want := errorText(err), "set create: true, or run: nats kv add virt-domains"; !strings.Contains(got, want) {
		t.Errorf("error %q, want %q in it", got, want)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidateStateBucket(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"good":      {func(*Config) {}, ""},
		"character": {func(c *Config) { c.StateBucket = "virt.domains" }, `state_bucket: "virt.domains" cannot be a bucket's name; use letters, digits, - and _, such as virt-domains`},
		"core":      {func(c *Config) { c.Mode = ModeCore }, "state_bucket: core mode keeps nothing, and a bucket is kept by JetStream; remove state_bucket, or use mode: jetstream"},
		"stream":    {func(c *Config) { c.Stream = "KV_virt-domains" }, "state_bucket: stream KV_virt-domains is that of the bucket; set stream to another one"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{URL: "nats://127.0.0.1:4222", StateBucket: stateBucket}
			test.change(&cfg)
			if diff := cmp.Diff(test.want, errorText(cfg.Validate())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
