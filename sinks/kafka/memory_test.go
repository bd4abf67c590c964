package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/sinks/sinktest"
)

// A caller that does not go on where it was, against the contract, fills no memory and stops nothing.
func TestOtherEventsAfterFailure(t *testing.T) {
	c := startCluster(t)
	sink := c.watch(t)
	source := sinktest.NewSource(2, 60)
	const size = 120
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	for range 8 {
		if n, err := sinktest.Prefix(t.Context(), sink, source.Take(size)); n == size || err == nil {
			t.Fatalf("Deliver = %d, %v, want an error", n, err)
		}
		if got := len(sink.producer.done); got > 2*size {
			t.Errorf("%d events are remembered, want no more than two deliveries have", got)
		}
		if got := len(sink.producer.left); got > 6 {
			t.Errorf("%d batches are kept, want no more than partitions", got)
		}
	}
	fault.Remove()
	last := source.Take(size)
	sink.deliver(t, last)
	sink.deliver(t, source.Take(size))
	if got := len(sink.producer.done); got != 0 {
		t.Errorf("%d events are remembered after deliveries without a failure, want 0", got)
	}
	if r := sinktest.Check(last, c.events(t, DefaultTopic)); r.Lost+r.Duplicates+r.Inversions > 0 {
		t.Errorf("the events of the first delivery that succeeded: %+v", r)
	}
}

// What is remembered is kept for as long as a caller in order may present it, in pieces of any size.
func TestRememberedUntilPresented(t *testing.T) {
	c := startCluster(t)
	tape := c.record()
	sink := c.watch(t)
	events := sinktest.NewSource(1, 30).Take(120)
	bad := at(&events[0], 6)
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{bad}, Err: kerr.NotEnoughReplicas, Count: -1})
	if n, err := sinktest.Prefix(t.Context(), sink, events); n != 0 || err == nil {
		t.Fatalf("Deliver = %d, %v, want 0 and an error", n, err)
	}
	fault.Remove()
	before := len(tape.batches())
	for i := range events {
		sink.deliver(t, events[i:i+1])
	}
	if got := len(tape.batches()) - before; got != 1 {
		t.Errorf("%d batches were sent after the failure, want the one that was kept", got)
	}
	c.stores(t, events)
	if got := len(sink.producer.done); got != 0 {
		t.Errorf("%d events are remembered in the end, want 0", got)
	}
}
