package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// startBroker starts a broker in this process, with a topic of six partitions.
func startBroker() *kfake.Cluster {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, kafka.DefaultTopic))
	if err != nil {
		log.Fatal(err)
	}
	return cluster
}

// newSink returns a sink for a cluster, with defaults for everything else.
func newSink(cluster *kfake.Cluster) *kafka.Sink {
	sink, err := kafka.New(kafka.Config{Brokers: cluster.ListenAddrs()}, kafka.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return sink
}

// A sink delivers events and reports the outcome of each. The bridge presents again what
// has none.
func ExampleSink_Deliver() {
	cluster := startBroker()
	defer cluster.Close()
	sink := newSink(cluster)
	defer sink.Close() //nolint:errcheck // It never fails.

	events := sinktest.NewSource(1, 3).Take(9) // from the bridge
	stored := 0
	err := sink.Deliver(context.Background(), events, func(i int, err error) {
		if err != nil {
			fmt.Printf("event %s can never be delivered: %v\n", events[i].ID(), err)
			return
		}
		stored++
	})
	fmt.Println(stored, "of", len(events), "events are stored; error:", err)
	// Output: 9 of 9 events are stored; error: <nil>
}

// Connect looks at the topic before the first event, and Fit has what it found.
func ExampleSink_Fit() {
	cluster := startBroker()
	defer cluster.Close()
	sink := newSink(cluster)
	defer sink.Close() //nolint:errcheck // It never fails.

	if err := sink.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fit := sink.Fit()
	fmt.Printf("%s: %d partitions, cleanup.policy=%s\n", fit.Topic, fit.Partitions, fit.Cleanup)
	// Output: virt.events: 6 partitions, cleanup.policy=delete
}

// Tail reads the events of a sink with the same configuration.
func ExampleTail() {
	cluster := startBroker()
	defer cluster.Close()
	sink := newSink(cluster)
	defer sink.Close() //nolint:errcheck // It never fails.
	events := sinktest.NewSource(1, 1).Take(3)
	if _, err := sinktest.Prefix(context.Background(), sink, events); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	enough := errors.New("enough")
	cfg := kafka.Config{Brokers: cluster.ListenAddrs()}
	err := kafka.Tail(ctx, cfg, kafka.TailOptions{All: true}, func(m kafka.Message) error {
		if m.Err != nil {
			return m.Err // the record is no event
		}
		fmt.Println(m.Event.Object.Name, m.Event.Type())
		if m.Offset == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		log.Fatal(err)
	}
	// Output:
	// vm-0 org.libvirt.domain.lifecycle.defined.v1
	// vm-0 org.libvirt.domain.lifecycle.started.v1
	// vm-0 org.libvirt.domain.lifecycle.suspended.v1
}

// A state store keeps the last known state of each domain in a compacted topic.
func ExampleStateStore() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	store, err := kafka.NewStateStore(kafka.Config{
		Brokers: cluster.ListenAddrs(), StateTopic: "virt.domains", Create: &kafka.CreateConfig{Partitions: 3},
	}, kafka.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // It never fails.

	e := sinktest.NewSource(1, 1).Take(1)[0]
	e.State = schema.State{Valid: true, Code: schema.StateRunning, Persistence: schema.Persistent}
	if err := store.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	err = store.Deliver(context.Background(), []schema.Event{e.StateEvent()}, func(_ int, err error) {
		fmt.Println("stored, error:", err)
	})
	fmt.Println(store.Fit().Topic, store.Fit().Cleanup, err)
	// Output:
	// stored, error: <nil>
	// virt.domains compact <nil>
}

// Validate returns every fault at once, each with its place and its cure.
func ExampleConfig_Validate() {
	cfg := kafka.Config{
		Brokers: []string{"kafka1.example.com"}, Compression: "brotli",
		SASL: kafka.SASLConfig{Mechanism: kafka.MechanismScramSHA512, Username: "virtcast"},
	}
	fmt.Println(cfg.Validate())
	// Output:
	// brokers[0]: "kafka1.example.com" is not host:port; write host:port, such as 127.0.0.1:9092
	// compression: compression "brotli" is not known; write none, gzip, snappy, lz4 or zstd
	// sasl: a login without a password; add password, such as "${KAFKA_PASSWORD}"
}
