package nats

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/schema"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The server keeps these for the life of the process.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.4"),
	)
}

// testServer is a NATS server that can be stopped and started again with the same port
// and store.
type testServer struct {
	*server.Server
	options server.Options
}

// leaveOutOfQuick skips a test that starts a server where only quick tests are asked for.
func leaveOutOfQuick(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out of make quick: it starts a NATS server")
	}
}

func startServer(t testing.TB, change func(*server.Options)) *testServer {
	t.Helper()
	leaveOutOfQuick(t)
	s := &testServer{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(),
	}}
	if change != nil {
		change(&s.options)
	}
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *testServer) start(t testing.TB) {
	t.Helper()
	options := s.options
	srv, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready after 10s")
	}
	s.Server = srv
	s.options.Port = options.Port
}

func (s *testServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// restart stops the server, as a crash would as far as clients can tell, and starts it
// again.
func (s *testServer) restart(t testing.TB) {
	t.Helper()
	s.stop()
	s.start(t)
}

func connectClient(t testing.TB, url string, options ...natsgo.Option) *natsgo.Conn {
	t.Helper()
	nc, err := natsgo.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*natsgo.Conn) { close(closed) })
	t.Cleanup(func() { nc.Close(); <-closed })
	return nc
}

// createStream makes a stream like the sink would, changed by change.
func createStream(t testing.TB, nc *natsgo.Conn, change func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := jetstream.StreamConfig{Name: "VIRTCAST", Subjects: []string{"virt.>"}, AllowBatchPublish: true}
	if change != nil {
		change(&c)
	}
	stream, err := js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// readStream returns all events of stream VIRTCAST, in order.
func readStream(t testing.TB, url string, options ...natsgo.Option) []schema.Event {
	t.Helper()
	nc, err := natsgo.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream := openStream(ctx, t, js)
	total := int(stream.CachedInfo().State.Msgs)
	events := make([]schema.Event, 0, total)
	if total == 0 {
		return nil
	}
	messages, err := openConsumer(ctx, t, stream).Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for len(events) < total {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("read message %d of %d: %v", len(events), total, err)
		}
		events = append(events, decode(t, m.Subject(), m.Headers(), m.Data()))
	}
	return events
}

// openStream looks at the stream. What is asked while the stream has no leader is never
// answered, so it asks again.
func openStream(ctx context.Context, t testing.TB, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		stream, err := js.Stream(once, "VIRTCAST")
		cancel()
		if err == nil {
			return stream
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// openConsumer makes a consumer of the stream. What is asked while the cluster has no
// leader is never answered, so it asks again.
func openConsumer(ctx context.Context, t testing.TB, stream jetstream.Stream) jetstream.Consumer {
	t.Helper()
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		consumer, err := stream.OrderedConsumer(once, jetstream.OrderedConsumerConfig{})
		cancel()
		if err == nil {
			return consumer
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// decode reads an event in either content mode, and holds its subject.
func decode(t testing.TB, subject string, h natsgo.Header, data []byte) schema.Event {
	t.Helper()
	var e schema.Event
	var err error
	if strings.HasPrefix(h.Get("Content-Type"), "application/cloudevents") {
		e, err = schema.Decode(data)
	} else {
		e, err = schema.DecodeBinary(func(name string) string { return h.Get("ce-" + name) }, data)
	}
	if err != nil {
		t.Fatalf("decode message on %s: %v\n%s", subject, err, data)
	}
	s, err := parseSubject(DefaultSubject)
	if err != nil {
		t.Fatal(err)
	}
	if want := string(s.appendTo(nil, &e)); subject != want {
		t.Fatalf("event is on subject %s, want %s", subject, want)
	}
	return e
}

func newSink(t testing.TB, cfg Config) *Sink {
	t.Helper()
	sink, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}
