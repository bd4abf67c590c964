package registry

import "sync/atomic"

// grant is how much a queue takes from the budget at a time, in bytes: a chunk and what
// its observations point to.
const grant = 16 << 10

// budget is the memory that the queues of all connections share. A queue takes from it in
// grants and gives back what it no longer needs, so that most observations cost no access
// to it.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves at least need bytes, and returns how many; 0 if there is no room.
func (b *budget) take(need int) int {
	for _, n := range [...]int{max(need, grant), need} {
		if b.used.Add(int64(n)) <= b.limit {
			return n
		}
		b.used.Add(-int64(n))
	}
	return 0
}

// give returns n bytes.
func (b *budget) give(n int) { b.used.Add(-int64(n)) }
