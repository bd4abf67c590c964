package bridge

import "math/bits"

// offsets is a set of journal offsets: one bit for each offset between the smallest and
// the largest in it.
type offsets struct {
	base  uint64 // the offset of the first bit; a multiple of 64
	words []uint64
	count int
}

func (s *offsets) add(offset uint64) {
	if len(s.words) == 0 {
		s.base = offset &^ 63
	}
	if offset < s.base { // Rare: what is parked lies ahead of what was parked before.
		missing := (s.base - offset + 63) / 64
		s.words = append(make([]uint64, missing, missing+uint64(len(s.words))), s.words...)
		s.base -= missing * 64
	}
	i := (offset - s.base) / 64
	for uint64(len(s.words)) <= i {
		s.words = append(s.words, 0)
	}
	if bit := uint64(1) << (offset % 64); s.words[i]&bit == 0 {
		s.words[i] |= bit
		s.count++
	}
}

func (s *offsets) has(offset uint64) bool {
	if offset < s.base {
		return false
	}
	i := (offset - s.base) / 64
	return i < uint64(len(s.words)) && s.words[i]>>(offset%64)&1 == 1
}

// remove takes an offset out, and gives up the memory below the smallest that is left.
func (s *offsets) remove(offset uint64) {
	if !s.has(offset) {
		return
	}
	s.words[(offset-s.base)/64] &^= 1 << (offset % 64)
	if s.count--; s.count == 0 {
		s.words = nil
		return
	}
	empty := 0
	for s.words[empty] == 0 {
		empty++
	}
	s.words = s.words[empty:]
	s.base += uint64(empty) * 64
}

// next returns the smallest offset in the set that is at least from.
func (s *offsets) next(from uint64) (offset uint64, ok bool) {
	from = max(from, s.base)
	for i := (from - s.base) / 64; i < uint64(len(s.words)); i++ {
		word := s.words[i]
		if at := s.base + i*64; at < from {
			word &= ^uint64(0) << (from - at)
		}
		if word != 0 {
			return s.base + i*64 + uint64(bits.TrailingZeros64(word)), true
		}
	}
	return 0, false
}
