package nats_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/nats"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// exampleServer starts a NATS server for an example. A program of your own connects to
// one that runs already.
func exampleServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		log.Fatal("the server is not ready")
	}
	return srv.ClientURL(), func() {
		srv.Shutdown()
		srv.WaitForShutdown()
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
}

// deliver publishes events, and ends the program if one has not been stored.
func deliver(ctx context.Context, sink interface {
	Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error
}, events []schema.Event,
) {
	err := sink.Deliver(ctx, events, func(i int, err error) {
		if err != nil {
			log.Fatalf("event %s can never be delivered: %v", events[i].ID(), err)
		}
	})
	if err != nil {
		log.Fatal(err) // Transient: the bridge presents again what has no outcome.
	}
}

// Connect finds out how the stream suits. A sink that is never connected does so with its
// first event.
func ExampleSink_Connect() {
	url, stop := exampleServer()
	defer stop()
	sink, err := nats.New(nats.Config{URL: url, Create: true, Stream: "EVENTS", Duplicates: 10 * time.Second}, nats.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := sink.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fit := sink.Fit()
	fmt.Println(fit.Stream, "created:", fit.Created, "batches:", fit.Batch)
	for _, advice := range fit.Advice {
		fmt.Println(advice)
	}
	if err := sink.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// EVENTS created: true batches: true
	// duplicates window is 10s: an event that is sent again later than that is stored twice; 2m is usual
}

// Every fault of a configuration is reported at once, each with its field and its cure.
func ExampleConfig_Validate() {
	cfg := nats.Config{
		URL:     "http://nats.example.com",
		Subject: "virt.{host}",
		TLS:     nats.TLSConfig{Cert: "client.pem"},
	}
	fmt.Println(cfg.Validate())
	// Output:
	// url: scheme "http" is not known; use nats://, tls://, ws:// or wss://
	// subject: "virt.{host}" has the unknown placeholder {host} (known: {connection}, {uuid}, {kind}, {event}, {detail}) at character 6; write tokens separated by dots, the first one a fixed word, with any of {connection}, {uuid}, {kind}, {event} and {detail}, such as virt.{connection}.{uuid}.{kind}.{event}.{detail}
	// tls: cert and key belong together; give both or neither
}

// What an operator can act on is an *Error, in one line with its cure.
func ExampleError() {
	sink, err := nats.New(nats.Config{URL: "nats://127.0.0.1:1"}, nats.Options{})
	if err != nil {
		log.Fatal(err)
	}
	err = sink.Connect(context.Background())
	var failure *nats.Error
	if errors.As(err, &failure) {
		fmt.Println("operation:", failure.Op)
		fmt.Println("cure:", failure.Hint)
	}
	// Output:
	// operation: connect to nats://127.0.0.1:1
	// cure: start the server, or correct url
}

// Tail reads what a sink with the same configuration publishes.
func ExampleTail() {
	url, stop := exampleServer()
	defer stop()
	cfg := nats.Config{URL: url, Create: true}
	sink, err := nats.New(cfg, nats.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	deliver(ctx, sink, sinktest.NewSource(1, 2).Take(4))
	if err := sink.Close(); err != nil {
		log.Fatal(err)
	}

	enough := errors.New("enough")
	seen := 0
	err = nats.Tail(ctx, cfg, nats.TailOptions{All: true, Subject: "virt.*.*.lifecycle.started.*"}, func(m nats.Message) error {
		if m.Err != nil {
			return m.Err
		}
		fmt.Println(m.Event.Object.Name, "on", m.Event.Connection.Name)
		if seen++; seen == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		log.Fatal(err)
	}
	// Output:
	// vm-0 on kvm00
	// vm-1 on kvm00
}

// A program that starts late reads the last known state of each domain from the bucket.
func ExampleStateStore() {
	url, stop := exampleServer()
	defer stop()
	store, err := nats.NewStateStore(nats.Config{URL: url, Create: true, StateBucket: "virt-domains"}, nats.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	events := sinktest.NewSource(1, 1).Take(2)
	for i := range events {
		events[i].State = schema.State{Valid: true, Code: schema.StateRunning, Persistence: schema.Persistent}
		events[i] = events[i].StateEvent() // The bridge does so.
	}
	deliver(ctx, store, events)
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	nc, err := natsgo.Connect(url)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	bucket, err := js.KeyValue(ctx, "virt-domains")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := bucket.Keys(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range keys {
		entry, err := bucket.Get(ctx, key)
		if err != nil {
			log.Fatal(err)
		}
		e, err := schema.Decode(entry.Value())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Object.Name, "runs:", e.State.Code == schema.StateRunning, "after event", e.DomainSequence)
	}
	// Output:
	// vm-0 runs: true after event 2
}
