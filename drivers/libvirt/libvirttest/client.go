package libvirttest

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// Client is one connection to a [Server], seen from the server. It is safe for concurrent
// use.
//
// One goroutine reads and answers; another writes, and lives only while there is
// something to write. Between them is the queue:
//
//	reader ── replies ──┐
//	                    ├── out (bounded by Options.MaxQueue) ── writer ── conn
//	emit, Firehose ─────┘
//
// Replies, events and keepalive stand in it in the order in which they were queued.
type Client struct {
	server *Server
	conn   net.Conn
	number uint64
	done   chan struct{} // closed with the connection

	// Guarded by server.mu.
	open          bool
	openURI       string
	readOnly      bool
	authenticated bool
	registrations []registration

	// mu guards what follows; taken after server.mu, never before. changed is signalled
	// whenever one of them changes that somebody may wait for.
	mu       sync.Mutex
	changed  *sync.Cond
	closed   bool
	why      CloseReason
	closing  CloseReason // set: close for it when out is empty
	stalled  bool
	waiting  int // calls whose reply is not written yet
	cutAfter int // frames until the connection is cut; negative: never

	out        []byte
	spare      []byte // the buffer that the writer does not write from
	keep       int    // the largest buffer to keep while there is nothing to write
	outReplies int    // replies in out
	inWrite    int    // bytes that the writer has in hand
	writing    bool
	events     uint64 // events written
	frames     uint64 // frames written

	keepalive   *time.Timer
	pingsLeft   int
	lastReceive time.Time
}

// registration is one callback of a client.
type registration struct {
	id       int32
	eventID  int32
	filtered bool
	domain   schema.UUID
}

func (r *registration) matches(eventID int32, domain schema.UUID) bool {
	return r.eventID == eventID && (!r.filtered || r.domain == domain)
}

// CloseReason says why a connection ended.
type CloseReason string

// The reasons.
const (
	// ClosedByClient: end of file or an error on the client's side, or a frame that puts
	// the stream out of step.
	ClosedByClient CloseReason = "client"
	// ClosedByCall: the client called virConnectClose.
	ClosedByCall CloseReason = "call"
	// ClosedByCut: a fault, or Server.Close.
	ClosedByCut CloseReason = "cut"
	// ClosedByKeepalive: too many PINGs stayed unanswered.
	ClosedByKeepalive CloseReason = "keepalive"
	// ClosedByOverrun: more than Options.MaxQueue bytes waited to be written.
	ClosedByOverrun CloseReason = "overrun"
)

// ClientInfo is a client's state at one moment.
type ClientInfo struct {
	// Number counts the server's connections from 1.
	Number uint64
	// Open says that OPEN succeeded, ReadOnly that it asked for read-only.
	Open, ReadOnly bool
	// Callbacks are the ids of the registrations, by age.
	Callbacks []int32
	// Filters are the domains of those registrations that name one.
	Filters []schema.UUID
	// Events and Frames are how many were wholly handed to the connection.
	Events, Frames uint64
	// Queued is what waits to be written, in bytes.
	Queued int
	// Closed is empty while the connection is open.
	Closed CloseReason
}

func newClient(s *Server, conn net.Conn, number uint64) *Client {
	c := &Client{server: s, conn: conn, number: number, done: make(chan struct{}), cutAfter: -1, keep: keepQueue}
	c.authenticated = slices.Contains(s.opts.Auth, wire.AuthNone)
	c.changed = sync.NewCond(&c.mu)
	return c
}

// Info returns the client's state. It works on ended connections too.
func (c *Client) Info() ClientInfo {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	info := ClientInfo{Number: c.number, Open: c.open, ReadOnly: c.readOnly}
	for _, r := range c.registrations {
		info.Callbacks = append(info.Callbacks, r.id)
		if r.filtered {
			info.Filters = append(info.Filters, r.domain)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info.Events, info.Frames = c.events, c.frames
	info.Queued = len(c.out) + c.inWrite
	info.Closed = c.why
	return info
}

// read is the client's goroutine.
func (c *Client) read() {
	defer c.remove()
	frames := wire.NewReader(c.conn)
	for {
		h, payload, err := frames.Next()
		if err != nil {
			c.close(ClosedByClient)
			return
		}
		if !c.received() {
			return
		}
		if !c.handle(h, payload) {
			c.close(ClosedByClient)
			return
		}
		if !c.mayRead() {
			return
		}
	}
}

// received notes a sign of life, and waits while the client is stalled. It returns false
// when the connection is closed.
func (c *Client) received() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.stalled && !c.closed {
		c.changed.Wait()
	}
	c.sawLife()
	return !c.closed
}

// mayRead waits until fewer than Options.MaxRequests calls wait for their reply to be
// written. It returns false when the connection is closed.
func (c *Client) mayRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting >= c.server.opts.MaxRequests && !c.closed {
		c.changed.Wait()
	}
	return !c.closed
}

// close ends the connection at once; the first reason stands.
func (c *Client) close(why CloseReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(why)
}

func (c *Client) closeLocked(why CloseReason) {
	if c.closed {
		return
	}
	c.closed, c.why = true, why
	c.out, c.spare, c.outReplies = nil, nil, 0
	c.stopKeepalive()
	close(c.done)
	_ = c.conn.Close() // the peer learns of it; nobody else could act on an error
	c.changed.Broadcast()
}

// remove forgets the client and its registrations, as libvirtd does at the end of a
// connection.
func (c *Client) remove() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	c.registrations = nil
	s.changed.Broadcast()
	if i := slices.Index(s.clients, c); i >= 0 {
		s.clients = slices.Delete(s.clients, i, i+1)
	}
}
