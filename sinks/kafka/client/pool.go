package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/virtcast/virtcast/internal/tlsfiles"
)

// Node names a broker: its id, or a negative number for an address of the configuration.
type Node int32

// NoLeader stands for the leader of a partition that has none.
const NoLeader Node = -1

// seed is the node of the i-th configured address.
func seed(i int) Node { return Node(-2 - i) }

// Socket names a connection to a node. Each carries one request at a time, so that a node
// may have several. Number 0 is for every request; a sender of batches uses any other
// alone.
type Socket struct {
	Node   Node
	Number int
}

// pool has the connections to the nodes of a cluster. Its methods may be called
// concurrently.
type pool struct {
	cfg       *Config
	files     *tlsfiles.Files // nil without TLS
	connected func()          // counts connections

	mu        sync.Mutex // guards the fields below
	addresses map[Node]string
	conns     map[Socket]*conn
	failures  map[Node]failure // of the nodes whose last request failed
	closed    bool
}

// failure is why a node did not answer its last request.
type failure struct {
	err error
	// rest is until when no batch is sent to the node: see [Cluster.Resting].
	rest time.Time
}

func newPool(cfg *Config, connected func()) *pool {
	p := &pool{
		cfg: cfg, files: cfg.files(), connected: connected,
		addresses: map[Node]string{}, conns: map[Socket]*conn{}, failures: map[Node]failure{},
	}
	for i, address := range cfg.Brokers {
		p.addresses[seed(i)] = address
	}
	return p
}

// conn returns a connection to a node, and makes it if it is not there.
func (p *pool) conn(ctx context.Context, s Socket) (*conn, error) {
	p.mu.Lock()
	c, closed, address := p.conns[s], p.closed, p.addresses[s.Node]
	p.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case c != nil:
		return c, nil
	case address == "":
		return nil, &CodeError{Code: CodeLeaderNotAvailable, What: fmt.Sprintf("broker %d", s.Node)}
	}
	c, err := dial(ctx, p.cfg, p.files, address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, p.note(s.Node, err)
	}
	p.connected()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.close()
		return nil, ErrClosed
	}
	p.conns[s] = c
	return c, nil
}

// ask sends a request to a node and returns the answer. After an error the broker may
// have carried out the request, if sent is set.
func (p *pool) ask(ctx context.Context, s Socket, m protocol.Message) (answer protocol.Message, sent bool, err error) {
	c, err := p.conn(ctx, s)
	if err != nil {
		return nil, false, err
	}
	answer, err = c.roundTrip(ctx, p.cfg.AckTimeout, m)
	if err != nil {
		p.drop(s, c)
		if ctx.Err() == nil {
			err = p.note(s.Node, err)
		}
		return nil, true, err
	}
	p.mu.Lock()
	delete(p.failures, s.Node)
	p.mu.Unlock()
	return answer, true, nil
}

// note remembers why a node has not answered, and returns the error with the node's
// address.
func (p *pool) note(n Node, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = &brokerError{p.addresses[n], err}
	f := failure{err: err}
	if errors.Is(err, errSilent) {
		f.rest = time.Now().Add(p.cfg.AckTimeout)
	}
	p.failures[n] = f
	return err
}

// resting returns why a node is not asked for now, or nil.
func (p *pool) resting(n Node) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.failures[n]; time.Now().Before(f.rest) {
		return f.err
	}
	return nil
}

// drop closes a connection that must not be used any more.
func (p *pool) drop(s Socket, c *conn) {
	p.mu.Lock()
	if p.conns[s] == c {
		delete(p.conns, s)
	}
	p.mu.Unlock()
	c.close()
}

// dropAll closes every connection.
func (p *pool) dropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.close()
	}
	clear(p.conns)
}

// close ends all connections for good.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.dropAll()
}

// update replaces the addresses of the brokers. Connections to brokers that have left or
// moved are closed. A connection to a configured address becomes that of the broker
// there.
func (p *pool) update(brokers map[Node]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, address := range p.addresses {
		if n >= 0 && brokers[n] != address {
			p.forget(n)
		}
	}
	for n, address := range brokers {
		p.addresses[n] = address
	}
	if len(brokers) > 0 {
		p.adopt()
	}
}

// forget removes a broker. The caller holds mu.
func (p *pool) forget(n Node) {
	delete(p.addresses, n)
	delete(p.failures, n)
	for s, c := range p.conns {
		if s.Node == n {
			c.close()
			delete(p.conns, s)
		}
	}
}

// adopt makes connections to configured addresses those of the brokers there, and closes
// the others. The caller holds mu.
func (p *pool) adopt() {
	for i, address := range p.cfg.Brokers {
		c := p.conns[Socket{Node: seed(i)}]
		if c == nil {
			continue
		}
		delete(p.conns, Socket{Node: seed(i)})
		for n := range p.addresses {
			if s := (Socket{Node: n}); n >= 0 && c != nil && p.addresses[n] == address && p.conns[s] == nil {
				p.conns[s], c = c, nil
			}
		}
		if c != nil {
			c.close()
		}
	}
}

// has reports whether a node's address is known.
func (p *pool) has(n Node) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addresses[n] != ""
}

// candidates returns the nodes in the order in which to ask them: connected brokers, the
// other known ones, the distrusted, configured addresses. Those that failed the last time
// come last.
func (p *pool) candidates(distrusted Node) []Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	nodes := make([]Node, 0, len(p.addresses))
	known := map[string]bool{}
	for n, address := range p.addresses {
		known[address] = known[address] || n >= 0
	}
	for n, address := range p.addresses {
		if n >= 0 || !known[address] {
			nodes = append(nodes, n)
		}
	}
	rank := func(n Node) int {
		switch _, failed := p.failures[n]; {
		case failed:
			return 4
		case n < 0:
			return 3
		case n == distrusted:
			return 2
		case p.conns[Socket{Node: n}] != nil:
			return 0
		}
		return 1
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		if r := rank(a) - rank(b); r != 0 {
			return r
		}
		if a < 0 && b < 0 {
			return int(b - a) // In the order of the configuration.
		}
		return int(a - b)
	})
	return nodes
}
