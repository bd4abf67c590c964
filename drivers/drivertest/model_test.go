package drivertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

var (
	errRefused = errors.New("refused")
	errNever   = neverError{}
	errCut     = errors.New("cut")
)

type neverError struct{}

func (neverError) Error() string   { return "no such kind" }
func (neverError) Permanent() bool { return true }

const refusedKind = schema.Kind(99)

// model is a hypervisor and its driver in one, with at most one fault.
type model struct {
	fault string

	// mu guards what follows, in the sessions too.
	mu           sync.Mutex
	refuse, mute bool
	early        *frame
	refuseWatch  bool
	connections  int
	sessions     []*modelSession
}

// frame is what the hypervisor sends.
type frame struct {
	domain        schema.Object
	event, detail int32
	bad, garbage  bool
	listing       bool
}

func (m *model) is(fault string) bool { return m.fault == fault }

func (m *model) Driver() drivers.Driver { return m }

func (m *model) Domains() (a, b schema.Object) {
	return schema.Object{UUID: schema.UUID{1}, Name: "alpha", ID: -1}, schema.Object{UUID: schema.UUID{2}, Name: "beta", ID: -1}
}

func (m *model) Open(ctx context.Context, _ schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connections++
	if m.refuse {
		if m.is("open retries") {
			m.connections++
		}
		return nil, errRefused
	}
	if m.mute {
		<-ctx.Done()
		if m.is("open ignores its context") {
			time.Sleep(5200 * time.Millisecond)
		}
		return nil, ctx.Err()
	}
	s := &modelSession{
		model: m, out: out, wake: make(chan struct{}, 1), done: make(chan struct{}),
		connection: &schema.Connection{Name: "model", URI: "model:///", Source: "model://host/"},
		inForce:    map[drivers.Filter]bool{},
	}
	if m.is("no identity") {
		s.connection = &schema.Connection{}
	}
	if m.is("context ends the session") {
		context.AfterFunc(ctx, func() { s.end(ctx.Err()) })
	}
	if m.is("leaks") {
		go time.Sleep(3 * time.Second)
	}
	m.sessions = append(m.sessions, s)
	go s.run()
	return s, nil
}

func (m *model) Emit(domain schema.UUID, event, detail int32) {
	a, b := m.Domains()
	if domain == b.UUID {
		a = b
	}
	m.send(func(s *modelSession) {
		if s.watches(domain) {
			s.frames = append(s.frames, frame{domain: a, event: event, detail: detail})
		}
	})
}

func (m *model) EmitLongName() {
	m.send(func(s *modelSession) {
		name := strings.Repeat("x", 100000)
		if !m.is("keeps long names") {
			name = name[:drivers.MaxText]
		}
		s.frames = append(s.frames, frame{domain: schema.Object{UUID: schema.UUID{3}, Name: name}})
	})
}

func (m *model) RefuseWatch(refuse bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuseWatch = refuse
}

func (m *model) EmitBeforeReply(domain schema.UUID, event, detail int32) {
	a, b := m.Domains()
	if domain == b.UUID {
		a = b
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.early = &frame{domain: a, event: event, detail: detail}
}

func (m *model) EmitStale(event, detail int32) {
	m.send(func(s *modelSession) {
		s.frames = append(s.frames, frame{domain: schema.Object{UUID: schema.UUID{0xee}}, event: event, detail: detail})
	})
}

func (m *model) EmitUndecodable() {
	m.send(func(s *modelSession) { s.frames = append(s.frames, frame{bad: true}) })
}

func (m *model) Derail() {
	m.send(func(s *modelSession) { s.frames = append(s.frames, frame{garbage: true}) })
}

func (m *model) Stall() { m.send(func(s *modelSession) { s.stalled = time.Now() }) }

func (m *model) Cut() {
	m.mu.Lock()
	sessions := slices.Clone(m.sessions)
	m.mu.Unlock()
	for _, s := range sessions {
		s.end(errCut)
	}
}

func (m *model) Refused() schema.Kind { return refusedKind }

func (m *model) Sessions() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var peers []Peer
	for _, s := range m.sessions {
		if !s.ended {
			peers = append(peers, Peer{ReadOnly: !m.is("writable"), Watched: len(s.inForce)})
		}
	}
	return peers
}

func (m *model) Connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.connections
}

func (m *model) Refuse(refuse bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = refuse
}

func (m *model) Mute() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mute = true
}

// send changes every open session and wakes it.
func (m *model) send(change func(*modelSession)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.ended {
			continue
		}
		change(s)
		s.poke()
	}
}
