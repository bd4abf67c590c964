package journal

import "bytes"

// values holds the last value of each key.
type values map[string]*cell

type cell struct{ value []byte }

// put copies both. A value that fits takes the place of the old one.
func (s values) put(key, value []byte) {
	if old := s[string(key)]; old != nil {
		old.value = append(old.value[:0], value...)
		return
	}
	s[string(key)] = &cell{bytes.Clone(value)}
}

// apply makes the changes of values of a frame's body.
func (s values) apply(body []byte) error {
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

// bytes returns what the values take in a checkpoint.
func (s values) bytes() int {
	n := 0
	for k, v := range s {
		n += 8 + len(k) + len(v.value)
	}
	return n
}

// Value returns a copy of the value of key.
func (j *Journal) Value(key []byte) (value []byte, ok bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	s := j.values[string(key)]
	if s == nil {
		return nil, false
	}
	return append([]byte{}, s.value...), true
}

// Values calls f for each value, in no order, until it returns false. The slices are
// valid during the call and must not be changed. Append waits meanwhile: f must not call
// it.
func (j *Journal) Values(f func(key, value []byte) bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for k, s := range j.values {
		if !f([]byte(k), s.value) {
			return
		}
	}
}
