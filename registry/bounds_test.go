package registry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// sized returns an observation of some bytes.
func sized(detail int32, size int) schema.Observation {
	o := numbered(detail)[0]
	o.Payload = strings.Repeat("x", size-o.Size())
	return o
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	q := testQueue(1 << 20)
	for i := range int32(1024) {
		q.push(drivers.Batch{Observations: []schema.Observation{sized(i, 8<<10)}})
	}
	q.push(drivers.Batch{Observations: []schema.Observation{sized(1024, 3<<20)}}) // larger than a batch
	q.push(drivers.Batch{Observations: []schema.Observation{sized(1025, 8<<10)}})
	next := int32(0)
	for c := q.take(); c != nil; c = q.take() {
		size, count := 0, uint64(0)
		for ; c != nil; c = c.next {
			for i := range c.observations[:c.n] {
				o := &c.observations[i]
				if o.Detail != next {
					t.Fatalf("observation %d came, want %d", o.Detail, next)
				}
				next++
				count++
				size += o.Size()
			}
		}
		if size > batchBytes && count > 1 {
			t.Errorf("a batch of %d observations has %d bytes", count, size)
		}
		q.done(tally{recorded: count})
	}
	if next != 1026 || q.bytes != 0 || q.granted != 0 || q.budget.used.Load() != 0 {
		t.Errorf("took %d, %d bytes are left of %d granted", next, q.bytes, q.granted)
	}
}

// TestQueueIsBoundedInBytes holds the bound for what is queued and in the recorder's
// hands.
func TestQueueIsBoundedInBytes(t *testing.T) {
	const limit, size = 1 << 20, 8 << 10
	q := newQueue(newPool(), &budget{limit: 1 << 40}, limit)
	push := func(n int) {
		for i := range n {
			q.push(drivers.Batch{Observations: []schema.Observation{sized(int32(i), size)}})
		}
	}
	push(200)
	if s, queued, bytes := q.snapshot(); queued != limit/size || s.lost != 200-limit/size || bytes != limit {
		t.Errorf("%d queued with %d bytes, %d lost", queued, bytes, s.lost)
	}
	taken := q.take()
	push(1)
	if s, _, _ := q.snapshot(); s.lost != 201-limit/size {
		t.Errorf("%d lost: what the recorder has in its hands counts", s.lost)
	}
	count := uint64(0)
	for c := taken; c != nil; c = c.next {
		count += uint64(c.n - c.gaps)
	}
	q.done(tally{recorded: count})
	push(1)
	if s, queued, _ := q.snapshot(); s.lost != 201-limit/size || queued != limit/size-count+1 {
		t.Errorf("%d lost, %d queued after room was made", s.lost, queued)
	}
}

func newPool() *chunkPool {
	p := &chunkPool{}
	p.New = func() any { return new(chunk) }
	return p
}

// TestTotalIsBounded holds that the queues of all connections together keep to
// TotalBytes, that what finds no room is declared, and that idle connections hold nothing
// of it.
func TestTotalIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const connections, total = 20, 1 << 20
		var hosts []*host
		for i := range connections {
			hosts = append(hosts, &host{name: fmt.Sprintf("kvm%02d", i)})
		}
		w := watch(t, Options{TotalBytes: total}, hosts...)
		defer w.stop()
		w.register(lifecycle())
		synctest.Wait()
		w.journal.setFail(errors.New("disk full"))
		const each = 1000
		for i := range int32(each) {
			for _, h := range hosts {
				h.emit(schema.KindLifecycle, uuidA, i)
			}
		}
		synctest.Wait()
		queued, lost := uint64(0), uint64(0)
		for _, s := range w.Stats() {
			queued += s.QueuedBytes
			lost += s.Lost
		}
		if queued > total || queued < total*8/10 || w.budget.used.Load() > total || lost == 0 {
			t.Errorf("%d bytes are queued, %d of the budget, %d lost; want nearly %d", queued, w.budget.used.Load(), lost, total)
		}
		w.journal.setFail(nil)
		time.Sleep(time.Minute)
		declared := uint64(0)
		for _, m := range w.journal.all() {
			if m.Gap != nil {
				declared += m.Gap.Lost
			}
		}
		if declared != lost {
			t.Errorf("%d lost, %d declared", lost, declared)
		}
		if used := w.budget.used.Load(); used != 0 {
			t.Errorf("idle connections hold %d bytes of the budget", used)
		}
		for _, c := range w.connections {
			if c.queue.head != nil || c.queue.tail != nil {
				t.Error("an idle connection holds a chunk")
			}
		}
	})
}

// TestQueueModel plays random schedules of everything that a queue can meet, and holds:
// what comes out is what went in, in order; each loss is declared with its count in its
// place, before anything that was let in after it; a gap of hold stands before what was
// pushed after it; positions stand where they were pushed; the memory adds up.
func TestQueueModel(t *testing.T) {
	for seed := range uint64(3000) {
		m := newQueueModel(seed)
		for range 80 {
			m.step()
		}
		if m.held {
			m.q.release(time.Unix(int64(m.next), 0))
		}
		for range 1000 {
			m.drain()
		}
		if fault := m.check(); fault != "" {
			t.Fatalf("seed %d: %s", seed, fault)
		}
	}
}

type queueModel struct {
	rng           *rand.Rand
	q             *queue
	connection    *schema.Connection
	next, session int32
	held          bool
	out           []schema.Observation
	fault         string
}

func newQueueModel(seed uint64) *queueModel {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := &budget{limit: int64(1+rng.IntN(200)) * numberedSize}
	return &queueModel{rng: rng, q: newQueue(newPool(), b, (1+rng.IntN(200))*numberedSize), connection: &schema.Connection{Name: "c"}}
}

func (m *queueModel) step() {
	switch m.rng.IntN(6) {
	case 0, 1, 2:
		batch := make([]schema.Observation, m.rng.IntN(64))
		for i := range batch {
			batch[i] = schema.Observation{Connection: m.connection, Detail: m.next, Event: m.session, Received: time.Unix(int64(m.next), 0)}
			m.next++
		}
		var p schema.Position
		if m.rng.IntN(2) == 0 {
			p = schema.Position(fmt.Sprint(m.next))
		}
		m.q.push(drivers.Batch{Observations: batch, Position: p})
	case 3:
		m.drain()
	case 4:
		if !m.held {
			m.session++
			m.q.hold(m.connection, time.Unix(int64(m.next), 0))
			m.held = true
		}
	case 5:
		if m.held {
			m.q.release(time.Unix(int64(m.next), 0))
			m.held = false
		}
	}
	if s, queued, size := m.q.snapshot(); s.received != s.recorded+s.lost+queued || int(size) > m.q.limit || int64(size) > m.q.budget.limit {
		m.fault = fmt.Sprintf("%+v with %d queued, %d bytes", s, queued, size)
	}
}

func (m *queueModel) drain() {
	for taken := m.q.take(); taken != nil; taken = m.q.take() {
		var o tally
		for c := taken; c != nil; c = c.next {
			from := 0
			for _, mark := range append(c.marks, mark{n: c.n}) {
				for ; from < mark.n; from++ {
					m.out = append(m.out, c.observations[from])
					if c.observations[from].Gap == nil {
						o.recorded++
					}
				}
				m.position(mark)
			}
		}
		m.q.done(o)
		if m.rng.IntN(3) == 0 {
			break
		}
	}
}

// position checks that a position stands behind what was pushed before it.
func (m *queueModel) position(mark mark) {
	if mark.position == nil {
		return
	}
	var behind int32
	_, _ = fmt.Sscan(string(mark.position), &behind)
	for _, o := range m.out {
		if o.Gap == nil && o.Detail >= behind {
			m.fault = fmt.Sprintf("position %d stands behind observation %d", behind, o.Detail)
		}
	}
}

func (m *queueModel) check() string {
	want, session := int32(0), int32(0)
	var declared, missing uint64
	for _, o := range m.out {
		switch {
		case o.Gap != nil && o.Gap.Reason == schema.GapOverrun:
			declared += o.Gap.Lost
		case o.Gap != nil:
			session = -1 // any session from now on
		default:
			if o.Detail < want {
				return fmt.Sprintf("%d came after %d", o.Detail, want)
			}
			if missing += uint64(o.Detail - want); missing != declared {
				return fmt.Sprintf("%d lost before %d, %d declared", missing, o.Detail, declared)
			}
			if o.Event != session && session != -1 {
				return fmt.Sprintf("session %d without a gap after %d", o.Event, session)
			}
			session, want = o.Event, o.Detail+1
		}
	}
	if missing += uint64(m.next - want); missing != declared {
		return fmt.Sprintf("lost %d, declared %d", missing, declared)
	}
	if m.q.bytes != 0 || m.q.granted != 0 || m.q.budget.used.Load() != 0 {
		return fmt.Sprintf("%d bytes of %d granted are left", m.q.bytes, m.q.granted)
	}
	return m.fault
}
