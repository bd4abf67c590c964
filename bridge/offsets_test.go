package bridge

import "testing"

// TestOffsetsBackwards: an offset far below the others costs one allocation, not one for
// each word between.
func TestOffsetsBackwards(t *testing.T) {
	const high, low = 7_000_000, 70
	var s offsets
	allocs := testing.AllocsPerRun(1, func() {
		s = offsets{}
		s.add(high)
		s.add(low)
	})
	if allocs > 2 {
		t.Errorf("%v allocations, want 2 at most", allocs)
	}
	for _, offset := range []uint64{low - 1, low, low + 1, low + 64, high - 64, high, high + 1} {
		if want := offset == low || offset == high; s.has(offset) != want {
			t.Errorf("has(%d) = %t", offset, !want)
		}
	}
	if at, ok := s.next(low + 1); at != high || !ok {
		t.Errorf("next = %d, %t, want %d", at, ok, high)
	}
	s.remove(low)
	if at, ok := s.next(0); at != high || !ok || s.count != 1 {
		t.Errorf("next = %d, %t of %d, want %d alone", at, ok, s.count, high)
	}
}
