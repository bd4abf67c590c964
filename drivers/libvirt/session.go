package libvirt

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

const (
	// maxCalls is how many calls may be unanswered; libvirtd's max_client_requests is 5.
	maxCalls = 4
	// maxBatch is the most observations in one batch, and so what a session keeps room
	// for (11 KB) after a burst, until it is idle.
	maxBatch = 64
	// maxHeld is how many bytes of events may wait for the answer to a registration.
	maxHeld = 8 << 20
	// sureSlack is how long an event may take inside the daemon: from when it happened to
	// when it stands in the stream, before what the daemon answers to us then.
	sureSlack = time.Second
	// closeTimeout bounds the goodbye of Close.
	closeTimeout = 500 * time.Millisecond
)

// Session is one open connection to a daemon. Its methods may be called by several
// goroutines, but not by the function that takes the batches.
type Session struct {
	config Config
	log    *slog.Logger
	conn   *timedConn
	out    func(drivers.Batch)
	count  counters

	// slots holds a token for each unanswered call, outgoing the frames of those not yet
	// written.
	slots    chan struct{}
	outgoing chan []byte
	// ping and pong ask the writer for one frame each; asking twice before it is written
	// asks once.
	ping, pong chan struct{}
	// noBulkStats is set once the driver has refused all-domain-stats.
	noBulkStats atomic.Bool

	ending chan struct{} // closed when the session begins to end
	wrote  chan struct{} // closed when the writer has returned
	done   chan struct{} // closed when nothing runs any more
	ticks  sync.WaitGroup

	watching watching

	// mu guards what follows.
	mu          sync.Mutex
	closing     bool
	ended       bool
	err         error
	serial      uint32
	pending     map[uint32]*pendingCall
	callbacks   map[callback]schema.Kind
	former      map[callback]struct{} // callbacks that have ended lately
	registering int                   // registrations without an answer whose callers still wait
	duplicates  *duplicates           // nil unless callbacks change over
	connection  *schema.Connection
	hypervisor  Hypervisor
	keepalive   *time.Timer
	lastAtTick  int64 // conn.last when the keepalive last looked
	unanswered  int   // pings since then
	sure        sureness

	// The reader owns what follows.
	frames  *wire.Reader
	decoder eventDecoder
	batch   []schema.Observation
	// eventsAtPong is how many events there were when the last pong came.
	eventsAtPong uint64
	held         []heldItem
	// heldBytes is what held takes, heldLimit its bound.
	heldBytes, heldLimit int
}

// Hypervisor is what the daemon says of itself besides its identity.
type Hypervisor struct {
	// Type is virConnectGetType, e.g. "QEMU".
	Type string
	// LibVersion is libvirt's version on the daemon's side: 1,000,000 × major + 1,000 ×
	// minor + release.
	LibVersion uint64
}

func newSession(conn net.Conn, config Config, options Options, out func(drivers.Batch)) *Session {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	timed := newTimedConn(conn)
	return &Session{
		config:    config,
		log:       log,
		conn:      timed,
		out:       out,
		slots:     make(chan struct{}, maxCalls),
		outgoing:  make(chan []byte, maxCalls),
		ping:      make(chan struct{}, 1),
		pong:      make(chan struct{}, 1),
		ending:    make(chan struct{}),
		wrote:     make(chan struct{}),
		done:      make(chan struct{}),
		pending:   make(map[uint32]*pendingCall),
		callbacks: make(map[callback]schema.Kind),
		frames:    wire.NewReader(timed),
		heldLimit: maxHeld,
	}
}

var _ drivers.Session = (*Session)(nil)

// start starts the two goroutines; the reader closes done as its last act.
func (s *Session) start() {
	go s.write()
	go func() {
		defer close(s.done)
		s.end(s.read())
		<-s.wrote
		s.ticks.Wait()
	}()
}

// end lets the session end, for the reason err unless there already is one. It does not
// wait: done tells.
func (s *Session) end(err error) {
	s.mu.Lock()
	first := !s.ended
	if first {
		s.ended = true
		if !s.closing {
			s.err = err
		}
		if s.keepalive != nil {
			s.keepalive.Stop()
		}
		close(s.ending)
	}
	s.mu.Unlock()
	if first {
		_ = s.conn.Close() // the connection is given up; what its close says helps nobody
	}
}

// Connection returns the identity: the same pointer for as long as the session lives.
func (s *Session) Connection() *schema.Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connection
}

// Resumed returns false: libvirt keeps no history.
func (s *Session) Resumed() bool { return false }

// Hypervisor returns what the daemon said of itself when the session was opened.
func (s *Session) Hypervisor() Hypervisor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hypervisor
}

// Done is closed when the session is lost or closed and its goroutines have returned.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended, as an [*Error]: nil before Done is closed, and nil
// if Close ended it.
func (s *Session) Err() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail("session", s.err)
}

// cause returns the error of a call on an ended session.
func (s *Session) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, s.err)
}

// Close says goodbye to the daemon, for at most half a second, ends the session and waits
// for its goroutines. It always returns nil, and may be called twice.
func (s *Session) Close() error {
	s.mu.Lock()
	first := !s.closing && !s.ended
	s.closing = true
	s.mu.Unlock()
	if first {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_, _ = s.call(ctx, wire.ProcConnectClose, nil) // courtesy: closing the socket has the same effect
	}
	s.end(nil)
	<-s.done
	return nil
}

// timedConn notes when bytes last came.
type timedConn struct {
	net.Conn
	epoch time.Time
	// last is when Read last returned bytes, as monotonic nanoseconds since epoch.
	last atomic.Int64
	// at is the same by the wall clock, in UTC. The reader owns it.
	at time.Time
}

func newTimedConn(conn net.Conn) *timedConn { return &timedConn{Conn: conn, epoch: time.Now()} }

func (c *timedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		now := time.Now()
		c.last.Store(int64(now.Sub(c.epoch)))
		c.at = now.UTC().Round(0)
	}
	return n, err
}

// idle is how long no byte has come.
func (c *timedConn) idle() time.Duration {
	return time.Since(c.epoch) - time.Duration(c.last.Load())
}
