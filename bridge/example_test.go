package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

// printer is a sink that prints events.
type printer struct{ name string }

// Deliver implements bridge.Sink.
func (p printer) Deliver(_ context.Context, events []schema.Event, outcome func(i int, err error)) error {
	for i := range events {
		e := &events[i]
		_, event, _ := schema.SubjectTokens(e)
		fmt.Printf("%s: %d %s %s\n", p.name, e.Sequence, e.Object.Name, event)
		outcome(i, nil)
	}
	return nil
}

// Record observations, and have them delivered. Usually a registry calls Record.
func Example() {
	dir := exampleDir()
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	j := exampleJournal(dir)
	b, err := bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := b.AddSink("screen", printer{"screen"}); err != nil {
		log.Fatal(err)
	}
	runWhile(b, func(ctx context.Context) error {
		return b.Record(ctx, exampleBatch(started, suspended)) // nil: both are on disk
	})
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// screen: 1 web-1 started
	// screen: 2 web-1 suspended
}

// A sink that was down gets what it missed after the next start. Sequences go on, too.
func ExampleBridge_AddSink() {
	dir := exampleDir()
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	j := exampleJournal(dir)
	first, err := bridge.New(j, bridge.Options{DrainTimeout: -1}) // does not wait for its sinks
	if err != nil {
		log.Fatal(err)
	}
	if err := first.AddSink("bus", unreachable{}); err != nil {
		log.Fatal(err)
	}
	runWhile(first, func(ctx context.Context) error { return first.Record(ctx, exampleBatch(started)) })
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}

	j = exampleJournal(dir)
	second, err := bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := second.AddSink("bus", printer{"bus"}); err != nil { // the same name, the same cursor
		log.Fatal(err)
	}
	runWhile(second, func(ctx context.Context) error { return second.Record(ctx, exampleBatch(suspended)) })
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// bus: 1 web-1 started
	// bus: 2 web-1 suspended
}

// unreachable is a sink whose server is down.
type unreachable struct{}

// Deliver implements bridge.Sink.
func (unreachable) Deliver(context.Context, []schema.Event, func(int, error)) error {
	return errors.New("connection refused")
}

// picky is a sink that refuses some events for good.
type picky struct{ printer }

// Deliver implements bridge.Sink.
func (p picky) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	for i := range events {
		if events[i].Observation.Event == suspended {
			outcome(i, sinks.Permanent(errors.New("too large")))
			continue
		}
		err := p.printer.Deliver(ctx, events[i:i+1], func(_ int, err error) { outcome(i, err) })
		if err != nil {
			return err
		}
	}
	return nil
}

// An event that its sink can never take becomes a dead letter, and holds up no other.
// When the cause is removed, it can be put back.
func ExampleRetryDeadLetters() {
	dir := exampleDir()
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	j := exampleJournal(dir)
	b, err := bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := b.AddSink("bus", picky{printer{"bus"}}); err != nil {
		log.Fatal(err)
	}
	runWhile(b, func(ctx context.Context) error { return b.Record(ctx, exampleBatch(started, suspended, resumed)) })

	if err := j.Close(); err != nil {
		log.Fatal(err)
	}

	j = exampleJournal(dir)
	var ids []uint64
	err = j.DeadLetters(func(d journal.DeadLetter) bool {
		fmt.Printf("dead letter %d of %s: %s\n", d.ID, d.Reader, d.Reason)
		ids = append(ids, d.ID)
		return true
	})
	if err != nil {
		log.Fatal(err)
	}
	n, err := bridge.RetryDeadLetters(j, ids)
	fmt.Println("put back:", n, err)

	b, err = bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := b.AddSink("bus", printer{"bus"}); err != nil { // takes everything now
		log.Fatal(err)
	}
	runWhile(b, func(context.Context) error { return nil })
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// bus: 1 web-1 started
	// bus: 3 web-1 resumed
	// dead letter 1 of bus: too large
	// put back: 1 <nil>
	// bus: 2 web-1 suspended
}

// stateStore is a store of states in memory.
type stateStore map[schema.ObjectKey]string

// Deliver implements bridge.Sink.
func (s stateStore) Deliver(_ context.Context, states []schema.Event, outcome func(i int, err error)) error {
	for i := range states {
		e := &states[i]
		if e.State.Gone {
			delete(s, e.Object.Key())
		} else {
			s[e.Object.Key()] = e.Object.Name + " is " + schema.StateName(e.State.Code)
		}
		outcome(i, nil)
	}
	return nil
}

// A store of each domain's last known state, beside a sink of events.
func ExampleBridge_AddStateStore() {
	dir := exampleDir()
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	j := exampleJournal(dir)
	b, err := bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := b.AddSink("bus", printer{"bus"}); err != nil {
		log.Fatal(err)
	}
	states := stateStore{}
	everything := func(string, schema.UUID) bool { return true }
	if err := b.AddStateStore("bus", states, everything); err != nil {
		log.Fatal(err)
	}
	runWhile(b, func(ctx context.Context) error { return b.Record(ctx, exampleBatch(started, suspended)) })
	for _, text := range states {
		fmt.Println(text)
	}
	if err := j.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// bus: 1 web-1 started
	// bus: 2 web-1 suspended
	// web-1 is paused
}

// virDomainEventType.
const started, suspended, resumed = 2, 3, 4

var exampleConnection = &schema.Connection{Name: "kvm01", URI: "qemu:///system", Hostname: "kvm01", Source: "qemu://kvm01/system"}

// exampleBatch makes observations of one domain, for every sink.
func exampleBatch(events ...int32) schema.MatchedBatch {
	all := schema.MatchedBatch{Connection: exampleConnection.Name}
	for _, event := range events {
		all.Matched = append(all.Matched, schema.Matched{Observation: schema.Observation{
			Connection: exampleConnection, Kind: schema.KindLifecycle, Event: event,
			Object:   schema.Object{UUID: schema.UUID{1}, Name: "web-1", ID: 7},
			Received: time.Now().UTC(),
		}})
	}
	return all
}

// runWhile runs a bridge for the time of do, and until everything is delivered.
func runWhile(b *bridge.Bridge, do func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	err := do(ctx)
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		log.Fatal(err)
	}
}

func exampleDir() string {
	dir, err := os.MkdirTemp("", "bridge")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

func exampleJournal(dir string) *journal.Journal {
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return j
}
