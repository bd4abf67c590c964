package nats_test

import (
	"context"
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

// A consumer reads the events of one domain from the stream, decodes them, and
// acknowledges each.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A temporary directory.
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		log.Fatal("the server is not ready")
	}

	// The bridge publishes.
	sink, err := nats.New(nats.Config{URL: srv.ClientURL(), Create: true}, nats.Options{})
	if err != nil {
		log.Fatal(err)
	}
	events := sinktest.NewSource(1, 2).Take(6)
	stored := 0
	err = sink.Deliver(ctx, events, func(_ int, err error) {
		if err == nil {
			stored++ // The stream has acknowledged this event.
		}
	})
	if err != nil || stored != len(events) {
		log.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		log.Fatal(err)
	}

	// A consumer reads.
	nc, err := natsgo.Connect(srv.ClientURL())
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "VIRTCAST", jetstream.ConsumerConfig{
		Durable:       "inventory",
		FilterSubject: "virt.*." + events[0].Object.UUID.String() + ".>",
	})
	if err != nil {
		log.Fatal(err)
	}
	batch, err := consumer.Fetch(3)
	if err != nil {
		log.Fatal(err)
	}
	for m := range batch.Messages() {
		e, err := schema.Decode(m.Data())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Object.Name, m.Subject())
		if err := m.Ack(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// vm-0 virt.kvm00.66000000-0000-4000-8000-000000000000.lifecycle.defined.added
	// vm-0 virt.kvm00.66000000-0000-4000-8000-000000000000.lifecycle.started.booted
	// vm-0 virt.kvm00.66000000-0000-4000-8000-000000000000.lifecycle.suspended.paused
}
