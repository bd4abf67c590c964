package bridge

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/bridge/value"
	"github.com/virtcast/virtcast/schema"
)

// positionV1 is the first byte of a position's value; the position fills the rest.
const positionV1 = 1

// positions are the places from which drivers can resume, by connection. set, put, commit
// and rollback belong to the committer; durable may be called by anyone.
type positions struct {
	wanted  map[string]schema.Position // as they are to be
	former  map[string]schema.Position // of those that the batch in hand has set
	mu      sync.Mutex                 // guards stored
	stored  map[string]schema.Position // as the journal has them
	pending map[string]struct{}        // those of wanted that the journal does not have
}

func newPositions() positions {
	return positions{
		wanted: map[string]schema.Position{}, former: map[string]schema.Position{},
		stored: map[string]schema.Position{}, pending: map[string]struct{}{},
	}
}

// durable returns the position that the journal has of a connection; nil is none.
func (p *positions) durable(connection string) schema.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stored[connection]
}

// load takes in a value of the journal.
func (p *positions) load(connection string, v []byte) error {
	switch {
	case len(v) == 0:
		return value.ErrFormat
	case v[0] > positionV1:
		return value.ErrNewer
	}
	at := schema.Position(bytes.Clone(v[1:]))
	p.wanted[connection], p.stored[connection] = at, at
	return nil
}

// check returns an error for a position that is too large.
func checkPosition(at schema.Position) error {
	if len(at) > schema.MaxPosition {
		return fmt.Errorf("position of %d bytes: a driver's position may have %d", len(at), schema.MaxPosition)
	}
	return nil
}

// set makes a position durable with the next batch. inBatch is set where it belongs to
// the batch in hand, and is taken back with it.
func (p *positions) set(connection string, at schema.Position, inBatch bool) {
	if inBatch {
		if _, ok := p.former[connection]; !ok {
			p.former[connection] = p.wanted[connection]
		}
	}
	p.wanted[connection] = bytes.Clone(at)
	p.pending[connection] = struct{}{}
}

// put adds the positions that the journal does not have to a batch.
func (p *positions) put(b *journal.Batch) {
	for connection := range p.pending {
		key := append([]byte{keyPosition}, connection...)
		b.Put(key, append([]byte{positionV1}, p.wanted[connection]...))
	}
}

// commit notes that the journal has what put has added.
func (p *positions) commit() {
	if len(p.pending) == 0 {
		return
	}
	p.mu.Lock()
	for connection := range p.pending {
		p.stored[connection] = p.wanted[connection]
	}
	p.mu.Unlock()
	clear(p.pending)
	clear(p.former)
}

// rollback takes back what the batch in hand has set.
func (p *positions) rollback() {
	for connection, at := range p.former {
		if at == nil {
			delete(p.wanted, connection)
			delete(p.pending, connection)
		} else {
			p.wanted[connection] = at
		}
	}
	clear(p.former)
}
