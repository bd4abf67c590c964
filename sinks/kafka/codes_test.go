package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// Codes that ask for patience: the same bytes are sent again, and are stored once.
func TestRetry(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	var all []schema.Event
	for _, answer := range codes(client.Retry) {
		t.Run(answer.Name(), func(t *testing.T) {
			events := source.Take(7)
			all = append(all, events...)
			before := len(tape.batches())
			const failures = 2
			tape.fail(answer, failures)
			sink.deliver(t, events)
			batches := tape.batches()[before:]
			if len(batches) != failures+1 {
				t.Fatalf("%d batches were sent, want %d", len(batches), failures+1)
			}
			for i := range batches {
				if !bytes.Equal(batches[i].wire, batches[0].wire) {
					t.Errorf("attempt %d sends other bytes than the first", i)
				}
			}
			if got := batches[0].count(); got != len(events) {
				t.Errorf("a batch has %d records, want %d", got, len(events))
			}
		})
	}
	c.stores(t, all)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}

// A Deliver ends while a broker goes on failing: the error is transient, and the batch is
// kept as it is.
func TestRetryGivesUp(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(9)
	tape.fail(client.CodeUnknown, 1000)
	begin := time.Now()
	err := sink.fails(t, events[:5])
	oneLine(t, err, "5 of 5 events are not stored", "partition 0 of virt.events", "UNKNOWN_SERVER_ERROR", "look into the broker's log")
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("Deliver took %v", took)
	}
	tape.answer(nil)
	sink.deliver(t, events) // The kept batch has five of them.
	batches := tape.batches()
	for i, b := range batches[:len(batches)-1] {
		if !bytes.Equal(b.wire, batches[0].wire) {
			t.Errorf("batch %d differs from the first", i)
		}
	}
	if last := batches[len(batches)-1]; last.count() != 4 || last.sequence() != 5 {
		t.Errorf("the last batch has %d records from sequence %d, want 4 from 5", last.count(), last.sequence())
	}
	c.stores(t, events)
}

// Codes by which the broker gives up the producer id: the same records are sent again
// under a new one.
func TestRenew(t *testing.T) {
	for _, answer := range codes(client.Renew) {
		t.Run(answer.Name(), func(t *testing.T) {
			c := single(t)
			tape := c.record()
			sink := c.watch(t)
			events := oneDomain(30)
			sink.deliver(t, events[:10])
			tape.fail(answer, 1)
			sink.deliver(t, events[10:20])
			sink.deliver(t, events[20:])
			b := tape.batches()
			if len(b) != 4 || b[1].producer() == b[2].producer() || b[2].sequence() != 0 || !bytes.Equal(b[1].records(), b[2].records()) {
				t.Fatalf("%d batches; sequences %d, %d; want the same records under a new producer id from 0 on", len(b), b[1].sequence(), b[2].sequence())
			}
			if b[3].producer() != b[2].producer() || b[3].sequence() != 10 {
				t.Errorf("the batch after it has sequence %d, want 10 of the same producer", b[3].sequence())
			}
			if n := sink.mayRepeat(); n != 0 {
				t.Errorf("%d events may be stored twice, want 0: nothing was unconfirmed", n)
			}
			c.stores(t, events)
		})
	}
}

// A producer id that is lost while a batch is unconfirmed: it may be stored twice, which
// is counted.
func TestRenewUnconfirmed(t *testing.T) {
	c := single(t)
	sink := c.watch(t)
	events := oneDomain(20)
	sink.deliver(t, events[:10])
	produce := []kmsg.Key{kmsg.Produce}
	c.Fault(kfake.Fault{Keys: produce, Err: kerr.NotEnoughReplicasAfterAppend}) // stored, and answered with an error
	c.Fault(kfake.Fault{Keys: produce, Err: kerr.InvalidProducerEpoch})
	sink.deliver(t, events[10:])
	if n := sink.mayRepeat(); n != 10 {
		t.Errorf("%d events may be stored twice, want 10", n)
	}
	stored := c.events(t, DefaultTopic)
	r := sinktest.Check(events, stored)
	if len(stored) != 30 || r.Duplicates != 10 || r.Lost+r.Inversions+r.Strange != 0 {
		t.Errorf("%d events are stored: %+v, want 10 duplicates", len(stored), r)
	}
}

// A connection that is cut leaves a batch unconfirmed too.
func TestRenewAfterCut(t *testing.T) {
	c := single(t)
	sink := c.watch(t)
	events := oneDomain(20)
	sink.deliver(t, events[:10])
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("cut"), true
	})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidProducerEpoch})
	sink.deliver(t, events[10:])
	if n := sink.mayRepeat(); n != 10 {
		t.Errorf("%d events may be stored twice, want 10", n)
	}
	c.stores(t, events) // In truth nothing was.
}

// A batch that is refused for a record in it, after an earlier attempt was stored: the
// broker must not take its halves for that attempt.
func TestSplitUnconfirmed(t *testing.T) {
	c := single(t)
	sink := c.watch(t)
	events := oneDomain(20)
	poison(events, 15)
	sink.deliver(t, events[:10])
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend}) // stored
	attempts := 0
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := r.(*kmsg.ProduceRequest).Topics[0].Partitions[0]
		if attempts++; attempts == 1 || !isPoison(sent{0, p.Records}) {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.ProduceResponse)
		rt, rp := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		rt.Topic, rp.ErrorCode = DefaultTopic, int16(client.CodeMessageTooLarge)
		rt.Partitions = append(rt.Partitions, rp)
		response.Topics = append(response.Topics, rt)
		return response, nil, true
	})
	_ = sink.refuses(t, events[10:], 5)
	if n := sink.mayRepeat(); n != 10 {
		t.Errorf("%d events may be stored twice, want 10", n)
	}
	r := sinktest.Check(events, c.events(t, DefaultTopic))
	if r.Lost+r.Inversions+r.Strange > 0 || r.Duplicates != 9 {
		t.Errorf("stored events: %+v, want 9 duplicates", r)
	}
}

// A batch that was kept from an earlier delivery, and is refused now for a record in it.
func TestSplitOfKeptBatch(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(20)
	poison(events, 7)
	tape.fail(19, 1000)
	_ = sink.fails(t, events)
	tape.answer(func(s sent) (client.Code, bool) { return client.CodeMessageTooLarge, isPoison(s) })
	_ = sink.refuses(t, events, 7)
	c.stores(t, slices.Delete(events, 7, 8))
}

// A batch that was stored although the broker said otherwise is not stored again.
func TestStoredUnconfirmed(t *testing.T) {
	c := single(t)
	sink := c.watch(t)
	all := oneDomain(40)
	for i, e := range []*kerr.Error{kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut} {
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: e, Count: 2})
		sink.deliver(t, all[20*i:20*(i+1)])
	}
	c.stores(t, all)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}

// DUPLICATE_SEQUENCE_NUMBER is the acknowledgement of an earlier attempt.
func TestDuplicateIsStored(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(20)
	sink.deliver(t, events[:10])
	tape.fail(46, 1) // It is not true here, so that what is not sent again is missing.
	sink.deliver(t, events[10:])
	if got := len(tape.batches()); got != 2 {
		t.Errorf("%d batches were sent, want 2", got)
	}
	if got := len(c.events(t, DefaultTopic)); got != 10 {
		t.Errorf("%d events are stored, want the 10 of the first batch", got)
	}
}

// Codes that blame a record in the batch: it is found, and everything else is stored
// once.
func TestSplit(t *testing.T) {
	for _, refusal := range append(codes(client.Split), client.CodeCorrupt) {
		for _, where := range [][]int{{0}, {13}, {24}, {3, 4, 20}} {
			t.Run(fmt.Sprintf("%s at %v", refusal.Name(), where), func(t *testing.T) {
				c := single(t)
				tape := c.record()
				sink := c.watch(t)
				events := oneDomain(25)
				for _, i := range where {
					poison(events, i)
				}
				tape.answer(func(s sent) (client.Code, bool) { return refusal, isPoison(s) })
				err := sink.refuses(t, events, where...)
				oneLine(t, err, "event "+events[where[0]].ID(), refusal.Name())
				good := slices.Clone(events)
				for k, i := range where {
					good = slices.Delete(good, i-k, i-k+1)
				}
				c.stores(t, good)
			})
		}
	}
}

// timesCorrupt is how often a batch is sent that is called corrupt.
const timesCorrupt = 3

// A corrupt batch that was damaged on its way is sent again before a record is blamed.
func TestCorruptOnce(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(10)
	tape.fail(client.CodeCorrupt, timesCorrupt-1)
	sink.deliver(t, events)
	if got := len(tape.batches()); got != timesCorrupt {
		t.Errorf("%d batches were sent, want %d", got, timesCorrupt)
	}
	c.stores(t, events)
}

// hintOf returns what to do about a code.
func hintOf(sink watched, c client.Code) string {
	var e *Error
	if errors.As(sink.client.Explain(context.Background(), &client.CodeError{Code: c}), &e) {
		return e.Hint
	}
	return ""
}

// Codes that only people can cure, and codes that nobody knows: nothing is lost, the
// error names the cure, and delivery goes on once it is cured.
func TestOperator(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	all := source.Take(1)
	sink.deliver(t, all)
	for _, answer := range append(codes(client.Operator), 12_345) {
		t.Run(answer.Name(), func(t *testing.T) {
			events := source.Take(10)
			all = append(all, events...)
			before := len(tape.batches())
			tape.fail(answer, 1000)
			for range 3 {
				oneLine(t, sink.fails(t, events), answer.Name(), hintOf(sink, answer))
			}
			if got := len(tape.batches()) - before; got != 3 {
				t.Errorf("%d batches were sent by 3 calls, want 3: more would not help", got)
			}
			tape.answer(nil)
			sink.deliver(t, events)
		})
	}
	c.stores(t, all)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}
