package service

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// The crash test's child is this test binary with these set.
const (
	crashConfig = "VIRTCAST_CRASH_CONFIG" // the configuration's path
	crashAcks   = "VIRTCAST_CRASH_ACKS"   // where the child notes what is durable
	// crashKills overrides how often the child is killed.
	crashKills = "VIRTCAST_CRASH_KILLS"
)

// defaultKills suits a run of all tests; make soak kills 250 times.
const defaultKills = 30

// crashTopic is where the children publish to Kafka.
const crashTopic = "virt.events"

// TestKill kills virtcast with SIGKILL at random instants under load, again and again.
// The firehose is a libvirtd's protocol on a unix socket, the NATS server and the Kafka
// broker are processes of their own. Then everything that any child knew to be durable
// must be in the stream and in the topic, and each domain's events in order. In the
// stream every event is once; in the topic some may be again, after a start, as what they
// were.
func TestKill(t *testing.T) {
	kills := defaultKills
	if n, err := strconv.Atoi(os.Getenv(crashKills)); err == nil {
		kills = n
	}
	srv, kafka := lab.NATS(t, lab.NATSOptions{}), lab.Kafka(t, lab.KafkaOptions{})
	hypervisor := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	defer hypervisor.Close()
	dir := t.TempDir()
	socket := filepath.Join(dir, "sock")
	if _, err := hypervisor.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "virtcast.yaml")
	text := "data_dir: " + dir + "/data\n" +
		"connections:\n  - {name: kvm01, uri: \"test+unix:///default?socket=" + socket + "\"}\n" +
		"sinks:\n  - {name: bus, nats: {url: \"" + srv.URL + "\", create: true}}\n" +
		"  - {name: log, kafka: {brokers: [\"" + kafka.Bootstrap()[0] + "\"], topic: " + crashTopic + ", create: {partitions: " + strconv.Itoa(crashPartitions) + "}}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	fire := make(chan libvirttest.FirehoseResult, 1)
	go func() {
		result, _ := hypervisor.Firehose(ctx, libvirttest.FirehoseOptions{Domains: 50, Rate: 20_000, Batch: 64})
		fire <- result
	}()
	acks := filepath.Join(dir, "acks")
	for range kills {
		child := startCrashChild(t, file, acks)
		time.Sleep(time.Duration(100+rand.N(400)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
	}
	child := startCrashChild(t, file, acks)
	time.Sleep(time.Second)
	stop()
	made := (<-fire).Events
	awaitQuiet(t, srv.URL, kafka.Bootstrap())
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatalf("the last child: %v", err)
	}
	acked := readAcks(t, acks)
	onNATS := readPublished(t, srv.URL)
	onKafka, repeats := readTopicPublished(t, kafka.Bootstrap(), kills)
	t.Logf("%d kills, %d events made, %d known to be durable, %d published to NATS, %d to Kafka and %d of them again",
		kills, made, len(acked), len(onNATS), len(onKafka), repeats)
	if len(acked) == 0 {
		t.Fatal("nothing was recorded")
	}
	for a := range acked {
		if !onNATS[a] {
			t.Errorf("domain %d's event %d was durable and is not in the stream", a.domain, a.number)
		}
		if !onKafka[a] {
			t.Errorf("domain %d's event %d was durable and is not in the topic", a.domain, a.number)
		}
	}
	if len(onNATS) != len(onKafka) {
		t.Errorf("%d events are in the stream, %d in the topic", len(onNATS), len(onKafka))
	}
}

// fired is one event of the firehose.
type fired struct{ domain, number uint32 }

// childTimeout bounds the life of a child that is to be killed.
const childTimeout = 5 * time.Minute

func startCrashChild(t *testing.T, file, acks string) *command.Cmd {
	t.Helper()
	child := command.New(t.Context(), childTimeout, os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), crashConfig+"="+file, crashAcks+"="+acks)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child
}

// crashChild is virtcast run -c, and notes what is durable: a callback of the registry is
// called when the event is.
func crashChild(ctx context.Context, file, acks string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := New(c, Options{Logger: log})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(acks, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = s.Registry().RegisterAny(registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle},
		Sinks: []string{},
		Callback: registry.ObserverFunc(func(o schema.Observation) {
			if o.Kind != schema.KindLifecycle {
				return
			}
			note := binary.BigEndian.AppendUint32(o.Object.UUID[12:16:16], uint32(o.Object.ID))
			if _, err := f.Write(note); err != nil {
				panic(err)
			}
		}),
	})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func readAcks(t *testing.T, name string) map[fired]bool {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	acked := make(map[fired]bool)
	for ; len(data) >= 8; data = data[8:] {
		acked[fired{binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])}] = true
	}
	return acked
}

// readPublished reads the stream, and checks what every reader relies on.
func readPublished(t *testing.T, url string) map[fired]bool {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "VIRTCAST")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	published := make(map[fired]bool)
	last := make(map[schema.UUID]schema.Event)
	sequences := make(map[uint64]uint64) // of the one source, with the message that has it
	for i := range stream.CachedInfo().State.Msgs {
		m, err := messages.Next()
		if err != nil {
			t.Fatal(err)
		}
		e, err := schema.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		if first, again := sequences[e.Sequence]; again {
			t.Fatalf("messages %d and %d have the same sequence %d", first, i+1, e.Sequence)
		}
		sequences[e.Sequence] = i + 1
		if e.Kind != schema.KindLifecycle {
			continue // a gap
		}
		before, seen := last[e.Object.UUID]
		if seen && (e.DomainSequence != before.DomainSequence+1 || e.Object.ID <= before.Object.ID) {
			t.Fatalf("%s: event %d (domain sequence %d) after event %d (%d)",
				e.Object.Name, e.Object.ID, e.DomainSequence, before.Object.ID, before.DomainSequence)
		}
		last[e.Object.UUID] = e
		published[fired{binary.BigEndian.Uint32(e.Object.UUID[12:]), uint32(e.Object.ID)}] = true
	}
	for n := range uint64(len(sequences)) {
		if _, ok := sequences[n+1]; !ok {
			t.Fatalf("the stream has %d messages, and none with sequence %d", len(sequences), n+1)
		}
	}
	return published
}
