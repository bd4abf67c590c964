package producer

import (
	"errors"
	"time"
)

const (
	// maxStored bounds the records that are remembered as stored.
	maxStored = 200_000
	// storedAge is how long a record is remembered. A caller that keeps the contract
	// presents it again within seconds.
	storedAge = 10 * time.Minute
)

// errForgotten is the reason why records that are stored may be sent again.
var errForgotten = errors.New("too many records are stored that were not presented again")

// stored are the records of unconfirmed batches that were stored before the caller
// presented the records again: the batch must precede newer records of its partition,
// which may have other keys. A record is remembered by its id until it is presented.
type stored struct {
	since   map[string]time.Time
	expired time.Time // when expire last looked
}

func (s *stored) empty() bool { return len(s.since) == 0 }

// add remembers records, and returns how many there is no room for.
func (s *stored) add(ids []string) (forgotten int) {
	for i, id := range ids {
		if len(s.since) >= maxStored {
			return len(ids) - i
		}
		if s.since == nil {
			s.since = map[string]time.Time{}
		}
		s.since[id] = time.Now()
	}
	return 0
}

// take reports whether a record is stored, and forgets it.
func (s *stored) take(id []byte) bool {
	if _, ok := s.since[string(id)]; !ok {
		return false
	}
	delete(s.since, string(id))
	return true
}

// expire forgets, once in a while, the records that were not presented for too long.
func (s *stored) expire() {
	now := time.Now()
	if s.empty() || now.Sub(s.expired) < storedAge/10 {
		return
	}
	s.expired = now
	for id, since := range s.since {
		if now.Sub(since) > storedAge {
			delete(s.since, id)
		}
	}
}
