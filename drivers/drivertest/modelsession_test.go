package drivertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers"
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
	out        func(drivers.Batch)
	wake       chan struct{}
	done       chan struct{}
	// delivering is held while observations are delivered; it is taken before model.mu.
	delivering sync.Mutex

	frames      []frame
	inForce     map[drivers.Filter]bool
	sure        time.Time
	stalled     time.Time
	ended       bool
	err         error
	deliveredNo int
	changes     int // since the last duplicate; delivering guards it
}

func (s *modelSession) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// watches reports whether a filter in force asks for a domain.
func (s *modelSession) watches(domain schema.UUID) bool {
	return s.inForce[all] || s.inForce[of(domain)]
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
	now := time.Now()
	for more := true; more; {
		var batch drivers.Batch
		var err error
		batch, more, err = s.decode()
		if len(batch.Observations) > 0 {
			s.distort(batch.Observations)
		}
		if batch.Listing != nil {
			s.out(drivers.Batch{Listing: batch.Listing})
		}
		if err != nil {
			s.end(err)
		}
	}
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	s.sure = now
}

// decode turns frames into a batch, up to a listing. more is set if some are left.
func (s *modelSession) decode() (batch drivers.Batch, more bool, err error) {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	for i, f := range s.frames {
		unwanted := !s.watches(f.domain.UUID) && !s.model.is("delivers the unwanted")
		switch {
		case f.listing:
			batch.Listing = s.listing()
			s.frames = s.frames[i+1:]
			return batch, true, nil
		case f.garbage && s.model.is("ignores garbage"), f.bad && !s.model.is("ends at undecodable"), !f.garbage && !f.bad && unwanted:
			continue
		case f.garbage || f.bad:
			return batch, false, errGarbage
		case f.event == 99 && s.model.is("drops unknown numbers"):
			continue
		}
		batch.Observations = append(batch.Observations, schema.Observation{
			Connection: s.connection, Kind: schema.KindLifecycle, Object: f.domain, Event: f.event, Detail: f.detail,
			Received: time.Now().UTC(),
		})
	}
	s.frames = nil
	return batch, false, nil
}

func (s *modelSession) listing() *schema.Listing {
	a, b := s.model.Domains()
	l := &schema.Listing{Connection: s.connection, Received: time.Now().UTC(), Complete: true}
	if !s.model.is("lists nothing") {
		l.Domains = []schema.ListedDomain{{Object: a, State: 5}, {Object: b, State: 1}}
	}
	return l
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
	case s.model.is("duplicates at changes") && s.changes > 0:
		s.changes = 0
		batch = append([]schema.Observation{batch[0]}, batch...)
	case s.model.is("concurrent"):
		var other sync.WaitGroup
		for range 50 {
			other.Go(func() { s.out(drivers.Batch{}) })
		}
		defer other.Wait()
	}
	s.out(drivers.Batch{Observations: batch})
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

func (s *modelSession) Watch(ctx context.Context, want []drivers.Filter) (missing []drivers.Missing, err error) {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	defer s.model.mu.Unlock()
	inForce := map[drivers.Filter]bool{}
	for _, f := range want {
		switch {
		case f.Kind == refusedKind && !s.model.is("accepts everything"):
			missing = append(missing, drivers.Missing{Filter: f, Err: errNever})
		case !s.inForce[f] && s.model.refuseWatch && s.model.is("refuses for good"):
			missing = append(missing, drivers.Missing{Filter: f, Err: errNever})
		case !s.inForce[f] && s.model.refuseWatch:
			missing = append(missing, drivers.Missing{Filter: f, Err: errRefused})
		default:
			inForce[f] = true
		}
	}
	if s.model.is("adds only") {
		for f := range s.inForce {
			inForce[f] = true
		}
	}
	changed := len(inForce) > len(s.inForce)
	s.inForce = inForce
	s.changes++
	if early := s.model.early; early != nil && changed && !s.model.is("loses what comes early") {
		s.frames = append(s.frames, *early)
		s.poke()
	}
	return missing, nil
}

func (s *modelSession) List(ctx context.Context) error {
	if err := s.call(ctx); err != nil {
		return err
	}
	defer s.model.mu.Unlock()
	if s.model.is("lists at once") {
		go s.out(drivers.Batch{Listing: s.listing()})
		return nil
	}
	s.frames = append(s.frames, frame{listing: true})
	s.poke()
	return nil
}

func (s *modelSession) Resumed() bool { return false }

func (s *modelSession) Sure() time.Time {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	if s.model.is("too sure") {
		return time.Now()
	}
	return s.sure
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
		time.AfterFunc(5*time.Millisecond, func() { s.out(drivers.Batch{}) })
	}
}
