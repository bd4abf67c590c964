package libvirt

import "time"

// sureness knows up to when everything was delivered. What the daemon sends stands in one
// stream, so whatever it sent before it answered a ping or a call has been read when that
// answer is read. The answer itself tells only that it was made after the question was
// sent.
//
// At most one ping is waited for at a time: the first that was sent after the last one
// was answered. Session.mu guards it.
type sureness struct {
	// at is when the last question that was answered was sent.
	at time.Time
	// pings and pongs count all of them.
	pings, pongs uint64
	// awaited is the number of the ping that is waited for, 0 for none, and asked when it
	// was sent.
	awaited uint64
	asked   time.Time
}

// answered notes the answer to a question that was sent at a time.
func (k *sureness) answered(sent time.Time) {
	if sent.After(k.at) {
		k.at = sent
	}
}

// pinged notes that a ping is about to be written.
func (k *sureness) pinged() {
	k.pings++
	if k.awaited == 0 {
		k.awaited, k.asked = k.pings, time.Now()
	}
}

// ponged notes a pong. One without a ping tells nothing.
func (k *sureness) ponged() {
	if k.pongs == k.pings {
		return
	}
	k.pongs++
	if k.awaited != 0 && k.pongs >= k.awaited {
		k.answered(k.asked)
		k.awaited = 0
	}
}

// pinged notes that a ping is about to be written.
func (s *Session) pinged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure.pinged()
}

// Sure returns when the last ping or call that the daemon has answered was sent, less the
// second that an event may take inside the daemon; in UTC, zero for never. What came
// later may have been read as well, but bytes that were read may be old: a stopped
// process or a stalled network keeps them back.
func (s *Session) Sure() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sure.at.IsZero() {
		return time.Time{}
	}
	return s.sure.at.Add(-sureSlack).UTC().Round(0)
}
