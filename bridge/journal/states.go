package journal

import "bytes"

// states holds the last value of each key.
type states map[string]*state

type state struct{ value []byte }

// put copies both. A value that fits takes the place of the old one.
func (s states) put(key, value []byte) {
	if old := s[string(key)]; old != nil {
		old.value = append(old.value[:0], value...)
		return
	}
	s[string(key)] = &state{bytes.Clone(value)}
}

// apply makes the state changes of a frame's body.
func (s states) apply(body []byte) error {
	for len(body) > 0 {
		op, key, value, rest, err := nextEntry(body)
		if err != nil {
			return err
		}
		switch op {
		case opPut:
			s.put(key, value)
		case opDelete:
			delete(s, string(key))
		}
		body = rest
	}
	return nil
}

// bytes returns what the states take in a checkpoint.
func (s states) bytes() int {
	n := 0
	for k, v := range s {
		n += 8 + len(k) + len(v.value)
	}
	return n
}

// State returns a copy of the state of key.
func (j *Journal) State(key []byte) (value []byte, ok bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	s := j.states[string(key)]
	if s == nil {
		return nil, false
	}
	return append([]byte{}, s.value...), true
}

// States calls f for each state, in no order, until it returns false. The slices
// are valid during the call and must not be changed. Append waits meanwhile: f must not call it.
func (j *Journal) States(f func(key, value []byte) bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for k, s := range j.states {
		if !f([]byte(k), s.value) {
			return
		}
	}
}
