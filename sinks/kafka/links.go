package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
)

// socket names a connection to a node. Each carries one request at a time, so that a node may have several: number 0 is for
// every request, the others are for one lane each.
type socket struct {
	node   node
	number int
}

// link returns a connection to a node, and makes it if it is not there.
func (c *cluster) link(ctx context.Context, s socket) (*link, error) {
	c.mu.Lock()
	l, closed := c.links[s], c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case l != nil:
		return l, nil
	}
	address, ok := c.addresses[s.node]
	if !ok {
		return nil, &codeError{code: codeLeaderNotAvailable, what: fmt.Sprintf("broker %d", s.node)}
	}
	l, err := dial(ctx, &c.cfg, address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c.note(s.node, false)
		return nil, &brokerError{address, err}
	}
	c.metrics.connects.Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		l.close()
		return nil, ErrClosed
	}
	c.links[s] = l
	return l, nil
}

// brokerError says which broker an error is about.
type brokerError struct {
	address string
	err     error
}

func (e *brokerError) Error() string { return "broker " + e.address + ": " + e.err.Error() }
func (e *brokerError) Unwrap() error { return e.err }

// note remembers whether a node has answered.
func (c *cluster) note(n node, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		delete(c.failed, n)
	} else {
		c.failed[n] = true
	}
}

// drop closes a connection that must not be used any more.
func (c *cluster) drop(s socket, l *link) {
	c.mu.Lock()
	if c.links[s] == l {
		delete(c.links, s)
	}
	c.mu.Unlock()
	l.close()
}

// dropAll closes every connection.
func (c *cluster) dropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		l.close()
	}
	clear(c.links)
}

// close ends all connections for good.
func (c *cluster) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.dropAll()
}

// ask sends a request to one node. After an error the request may have been carried out, if sent is set.
func (c *cluster) ask(ctx context.Context, s socket, m protocol.Message) (answer protocol.Message, sent bool, err error) {
	l, err := c.link(ctx, s)
	if err != nil {
		return nil, false, err
	}
	answer, err = l.roundTrip(ctx, c.cfg.AckTimeout, m)
	if err != nil {
		c.drop(s, l)
		if ctx.Err() == nil {
			c.note(s.node, false)
			err = &brokerError{c.addresses[s.node], err}
		}
		return nil, true, err
	}
	c.note(s.node, true)
	return answer, true, nil
}

// adopt makes connections to configured addresses those of the brokers there, and closes the others: brokers are known now.
func (c *cluster) adopt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, address := range c.cfg.Brokers {
		l := c.links[socket{node: seed(i)}]
		if l == nil {
			continue
		}
		delete(c.links, socket{node: seed(i)})
		for n := range c.addresses {
			if s := (socket{node: n}); n >= 0 && l != nil && c.addresses[n] == address && c.links[s] == nil {
				c.links[s], l = l, nil
			}
		}
		if l != nil {
			l.close()
		}
	}
}
