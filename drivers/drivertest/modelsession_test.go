package drivertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/virtcast/virtcast/schema"
)

var (
	errSilent  = errors.New("the peer is silent")
	errOver    = errors.New("the session is over")
	errGarbage = errors.New("out of step")
)

// modelSession is both ends of a session.
type modelSession struct {
	model      *model
	connection *schema.Connection
	observe    func([]schema.Observation)
	wake       chan struct{}
	done       chan struct{}
	// delivering is held while observations are delivered; it is taken before model.mu.
	delivering sync.Mutex

	frames      []frame
	callbacks   map[int32]*schema.UUID
	stalled     time.Time
	ended       bool
	err         error
	deliveredNo int
}

func (s *modelSession) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *modelSession) ids() []int32 {
	ids := make([]int32, 0, len(s.callbacks))
	for id := range s.callbacks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// run delivers until the session ends.
func (s *modelSession) run() {
	defer close(s.done)
	tick := time.NewTicker(silence / 10)
	defer tick.Stop()
	for {
		select {
		case <-s.wake:
		case <-tick.C:
		}
		s.model.mu.Lock()
		stalled, ended := s.stalled, s.ended
		s.model.mu.Unlock()
		switch {
		case ended:
			return
		case stalled.IsZero():
			s.deliver()
		case time.Since(stalled) > silence && !s.model.is("notices nothing"):
			s.end(errSilent)
		}
	}
}

func (s *modelSession) deliver() {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	batch, err := s.decode()
	if len(batch) > 0 {
		s.distort(batch)
	}
	if err != nil {
		s.end(err)
	}
}

// decode turns the frames into observations.
func (s *modelSession) decode() (batch []schema.Observation, err error) {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	for _, f := range s.frames {
		_, known := s.callbacks[f.callback]
		switch {
		case f.garbage && s.model.is("ignores garbage"), f.bad && !s.model.is("ends at undecodable"), !f.garbage && !f.bad && !known:
			continue
		case f.garbage || f.bad:
			return batch, errGarbage
		case f.event == 99 && s.model.is("drops unknown numbers"):
			continue
		}
		o := schema.Observation{
			Connection: s.connection, Kind: schema.KindLifecycle, Object: f.domain, Event: f.event, Detail: f.detail,
			CallbackID: f.callback, Received: time.Now().UTC(),
		}
		if s.model.is("no callback id") {
			o.CallbackID = -1
		}
		batch = append(batch, o)
	}
	s.frames = nil
	return batch, nil
}

// distort delivers a batch as the fault wants it.
func (s *modelSession) distort(batch []schema.Observation) {
	const nth = 500
	s.deliveredNo += len(batch)
	last := len(batch) - 1
	switch {
	case s.model.is("reorders") && last > 0:
		batch[0], batch[last] = batch[last], batch[0]
	case s.model.is("loses") && s.deliveredNo > nth:
		s.deliveredNo = 0
		batch = batch[1:]
	case s.model.is("duplicates") && s.deliveredNo > nth:
		s.deliveredNo = 0
		batch = append([]schema.Observation{batch[0]}, batch...)
	case s.model.is("copies apart"):
		slices.SortStableFunc(batch, func(a, b schema.Observation) int { return int(a.CallbackID - b.CallbackID) })
	case s.model.is("concurrent"):
		var other sync.WaitGroup
		for range 50 {
			other.Go(func() { s.observe(nil) })
		}
		defer other.Wait()
	}
	s.observe(batch)
}

func (s *modelSession) Connection() *schema.Connection { return s.connection }
func (s *modelSession) Done() <-chan struct{}          { return s.done }

func (s *modelSession) Err() error {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	switch {
	case s.model.is("err after close") && s.ended:
		return errOver
	case s.model.is("no err after loss"):
		return nil
	}
	return s.err
}

// call waits for an answer, and locks the model.
func (s *modelSession) call(ctx context.Context) error {
	s.model.mu.Lock()
	if s.stalled.IsZero() || s.ended {
		if s.ended {
			s.model.mu.Unlock()
			return errOver
		}
		return nil
	}
	s.model.mu.Unlock()
	if s.model.is("calls hang") {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-s.done:
		return errOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *modelSession) RegisterAny(ctx context.Context, kind schema.Kind, domain *schema.UUID) (int32, error) {
	if err := s.call(ctx); err != nil {
		return 0, err
	}
	defer s.model.mu.Unlock()
	if !s.model.is("accepts everything") {
		if kind == refusedKind {
			return 0, errRefused
		}
		for _, other := range s.callbacks {
			if (domain == nil) == (other == nil) && (domain == nil || *domain == *other) {
				return 0, errors.New("event callback already tracked")
			}
		}
	}
	id := s.model.nextID
	s.model.nextID++
	if domain != nil {
		uuid := *domain
		domain = &uuid
	}
	s.callbacks[id] = domain
	if early := s.model.early; early != nil && !s.model.is("loses what comes early") {
		f := *early
		f.callback = id
		s.frames = append(s.frames, f)
		s.poke()
	}
	return id, nil
}

func (s *modelSession) DeregisterAny(ctx context.Context, _ schema.Kind, id int32) error {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	if err := s.call(ctx); err != nil {
		return err
	}
	defer s.model.mu.Unlock()
	if _, ok := s.callbacks[id]; !ok {
		return errors.New("no such callback")
	}
	if s.model.is("deregister returns early") {
		return nil
	}
	delete(s.callbacks, id)
	return nil
}

func (s *modelSession) Domains(ctx context.Context) ([]schema.ListedDomain, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	defer s.model.mu.Unlock()
	if s.model.is("lists nothing") {
		return nil, nil
	}
	a, b := s.model.Domains()
	return []schema.ListedDomain{{Object: a, State: 5}, {Object: b, State: 1}}, nil
}

func (s *modelSession) Close() error {
	s.end(nil)
	<-s.done
	return nil
}

func (s *modelSession) end(err error) {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.err = true, err
	s.poke()
	if s.model.is("observes after the end") {
		time.AfterFunc(5*time.Millisecond, func() { s.observe(nil) })
	}
}
