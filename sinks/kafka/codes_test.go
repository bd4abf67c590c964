package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// sorted are the codes of the table, those of one verdict or all.
func sorted(of ...verdict) []code {
	var codes []code
	for _, c := range slices.Sorted(maps.Keys(table)) {
		if len(of) == 0 || slices.Contains(of, table[c].verdict) {
			codes = append(codes, c)
		}
	}
	return codes
}

// The table agrees with franz-go's list of names, and says why, and what to do where only people can.
func TestTable(t *testing.T) {
	renamed := map[string]string{"NOT_LEADER_FOR_PARTITION": "NOT_LEADER_OR_FOLLOWER"} // by Apache Kafka 2.6
	for _, c := range sorted() {
		r := table[c]
		if c != codeNone {
			e := kerr.TypedErrorForCode(int16(c))
			name := e.Message
			if now, ok := renamed[name]; ok {
				name = now
			}
			if name != r.name || e.Code != int16(c) {
				t.Errorf("code %d is called %s, want %s", c, r.name, name)
			}
		}
		if r.why == "" || r.verdict == operator && r.hint == "" && c != codeTopicExists {
			t.Errorf("%s: why %q, hint %q, want both", r.name, r.why, r.hint)
		}
	}
}

// Codes that ask for patience: the same bytes are sent again, and are stored once.
func TestRetry(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	var all []schema.Event
	for _, answer := range sorted(retry) {
		t.Run(answer.lookup().name, func(t *testing.T) {
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

// A broker that goes on failing is given up on for now: the error is transient, and the batch is kept as it is.
func TestRetryGivesUp(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(9)
	tape.fail(codeUnknown, 1000)
	begin := time.Now()
	n, err := sinktest.Prefix(t.Context(), sink, events[:5])
	if n != 0 || err == nil || sinktest.IsPermanent(err) {
		t.Fatalf("Deliver = %d, %v, want 0 and a transient error", n, err)
	}
	oneLine(t, err, "partition 0 of virt.events", "UNKNOWN_SERVER_ERROR", "look into the broker's log")
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

// Codes by which the broker gives up the producer id: the same records are sent again under a new one.
func TestRenew(t *testing.T) {
	for _, answer := range sorted(renew) {
		t.Run(answer.lookup().name, func(t *testing.T) {
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
				t.Errorf("%d events may be stored twice, want 0: nothing was in doubt", n)
			}
			c.stores(t, events)
		})
	}
}

// A producer id that is lost while it is not known whether the batch is stored: then it may be stored twice, which is counted.
func TestRenewInDoubt(t *testing.T) {
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

// A connection that is cut leaves a batch in doubt too.
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

// A batch that is refused for what is in it after an earlier attempt was stored: its halves must not be taken for
// that attempt.
func TestSplitInDoubt(t *testing.T) {
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
		rt.Topic, rp.ErrorCode = DefaultTopic, int16(codeMessageTooLarge)
		rt.Partitions = append(rt.Partitions, rp)
		response.Topics = append(response.Topics, rt)
		return response, nil, true
	})
	n, err := sinktest.Prefix(t.Context(), sink, events[10:])
	if n != 5 || !sinktest.IsPermanent(err) {
		t.Fatalf("Deliver = %d, %v, want 5 and a permanent error", n, err)
	}
	sink.deliver(t, events[16:])
	if n := sink.mayRepeat(); n != 10 {
		t.Errorf("%d events may be stored twice, want 10", n)
	}
	r := sinktest.Check(events, c.events(t, DefaultTopic))
	if r.Lost+r.Inversions+r.Strange > 0 || r.Duplicates != 9 {
		t.Errorf("stored events: %+v, want 9 duplicates", r)
	}
}

// A batch that was kept from an earlier delivery, and is refused now for what is in it.
func TestSplitOfKeptBatch(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(20)
	poison(events, 7)
	tape.fail(19, 1000)
	if n, err := sinktest.Prefix(t.Context(), sink, events); n != 0 || err == nil || sinktest.IsPermanent(err) {
		t.Fatalf("Deliver = %d, %v, want 0 and a transient error", n, err)
	}
	tape.answer(func(s sent) (code, bool) { return codeMessageTooLarge, isPoison(s) })
	n, err := sinktest.Prefix(t.Context(), sink, events)
	if n != 7 || !sinktest.IsPermanent(err) {
		t.Fatalf("Deliver = %d, %v, want 7 and a permanent error", n, err)
	}
	sink.deliver(t, events[8:])
	c.stores(t, slices.Delete(events, 7, 8))
}

// A batch that was stored although the broker said otherwise is not stored again.
func TestStoredInDoubt(t *testing.T) {
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

// Codes that blame what is in a batch: the record is found, and everything else is stored once.
func TestSplit(t *testing.T) {
	for _, refusal := range append(sorted(split), codeCorrupt) {
		for _, where := range [][]int{{0}, {13}, {24}, {3, 4, 20}} {
			t.Run(fmt.Sprintf("%s at %v", refusal.lookup().name, where), func(t *testing.T) {
				c := single(t)
				tape := c.record()
				sink := c.watch(t)
				events := oneDomain(25)
				for _, i := range where {
					poison(events, i)
				}
				tape.answer(func(s sent) (code, bool) { return refusal, isPoison(s) })
				rest := events
				good := slices.Clone(events)
				for k, i := range where {
					n, err := sinktest.Prefix(t.Context(), sink, rest)
					if at := len(events) - len(rest) + n; at != i || !sinktest.IsPermanent(err) {
						t.Fatalf("Deliver stops at %d with %v, want %d and a permanent error", at, err, i)
					}
					oneLine(t, err, "event "+events[i].ID(), refusal.lookup().name)
					rest = rest[n+1:]
					good = slices.Delete(good, i-k, i-k+1)
				}
				if len(rest) > 0 {
					sink.deliver(t, rest)
				}
				c.stores(t, good)
				if len(sink.producer.done) != 0 {
					t.Errorf("%d events are remembered in the end, want 0", len(sink.producer.done))
				}
			})
		}
	}
}

// A corrupt batch that was damaged on its way is sent again before a record is blamed.
func TestCorruptOnce(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(10)
	tape.fail(codeCorrupt, maxCorrupt-1)
	sink.deliver(t, events)
	if got := len(tape.batches()); got != maxCorrupt {
		t.Errorf("%d batches were sent, want %d", got, maxCorrupt)
	}
	c.stores(t, events)
}

// Codes that only people can do something about, and ones that nobody knows: nothing is lost, the error names the cure, and
// delivery goes on once it is cured.
func TestOperator(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	source := sinktest.NewSource(1, 1)
	all := source.Take(1)
	sink.deliver(t, all)
	for _, answer := range append(sorted(operator), 12_345) {
		t.Run(answer.lookup().name, func(t *testing.T) {
			events := source.Take(10)
			all = append(all, events...)
			before := len(tape.batches())
			tape.fail(answer, 1000)
			for range 3 {
				n, err := sinktest.Prefix(t.Context(), sink, events)
				if n != 0 || err == nil || sinktest.IsPermanent(err) {
					t.Fatalf("Deliver = %d, %v, want 0 and a transient error", n, err)
				}
				oneLine(t, err, answer.lookup().name, sink.codeHint(answer))
			}
			if got := len(tape.batches()) - before; got != 3 {
				t.Errorf("%d batches were sent by 3 calls, want 3: there is no use in haste", got)
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
