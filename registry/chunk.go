package registry

import (
	"sync"

	"github.com/virtcast/virtcast/schema"
)

const (
	// chunkLength is how many observations a chunk holds: about 11 KiB.
	chunkLength = 64
	// chunkBytes bounds what the observations of a chunk take. One that is larger has a
	// chunk of its own.
	chunkBytes = 256 << 10
	// keptBytes is the most that a chunk in the pool may point to and take.
	keptBytes = chunkLength * 256
)

// chunk is a piece of a queue. Chunks come from a pool that all queues share, so that a
// queue that is empty owns none.
type chunk struct {
	next *chunk
	n    int
	// gaps is how many of the n are gaps, which were not received.
	gaps int
	// bytes is what its observations and marks take.
	bytes int
	// marks are in order of their place; nil for most.
	marks []mark
	// sealed is set where a position ends the chunk: a batch may end here.
	sealed       bool
	observations [chunkLength]schema.Observation
}

// mark is a position or a listing that stands behind the first n observations of a chunk.
type mark struct {
	n        int
	position schema.Position
	listing  *schema.Listing
}

// fits reports whether an observation of some bytes can be added.
func (c *chunk) fits(size int) bool {
	return c != nil && c.n < chunkLength && !c.sealed && (c.n == 0 || c.bytes+size <= chunkBytes)
}

type chunkPool struct{ sync.Pool }

func (p *chunkPool) get() *chunk { return p.Get().(*chunk) } //nolint:errcheck // the pool holds nothing else

// put gives back a chunk. It lets go of what the chunk points to, if that is more than
// names: these are written over soon, or the pool drops the chunk.
func (p *chunkPool) put(c *chunk) {
	if c.bytes > keptBytes {
		clear(c.observations[:])
	}
	c.next, c.n, c.gaps, c.bytes, c.marks, c.sealed = nil, 0, 0, 0, nil, false
	p.Put(c)
}
