package libvirttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// Options shape a [Server]. The zero value is a libvirtd 9.0.0 with the test driver open
// to everyone, with the one running domain "test" of test:///default.
type Options struct {
	// Flavor chooses whose event sequences the domains emit.
	Flavor Flavor
	// Hostname is the answer to virConnectGetHostname. Default "libvirttest".
	Hostname string
	// URI is the answer to virConnectGetURI, and its scheme and path are what OPEN
	// accepts. Default "test:///default", or "qemu:///system" for [FlavorQEMU].
	URI string
	// Version and LibVersion are major*1,000,000 + minor*1,000 + release. Default: the
	// test driver's 2 (or QEMU's 7002000), and 9000000.
	Version, LibVersion uint64
	// Auth is the answer to AUTH_LIST. Default: none. With anything else every call but
	// those that authenticate is refused until polkit (always content) was asked; SASL is
	// never content.
	Auth []int32
	// Empty leaves out the domain "test".
	Empty bool
	// EventIDs is how many domain event ids are known. Default 27, as in 9.0.
	EventIDs int32
	// KeepaliveInterval is the time without a frame after which a client that asked for
	// keepalive gets a PING. Default 5s; negative means never.
	KeepaliveInterval time.Duration
	// KeepaliveCount is how many PINGs may stay unanswered. Default 5.
	KeepaliveCount int
	// MaxRequests is how many calls of one client may wait for their reply to be written
	// before its socket is no longer read. Default 5.
	MaxRequests int
	// MaxQueue bounds what waits to be written to one client, in bytes. libvirtd has no
	// bound. A client that is behind by more is cut off; see [ClientInfo]. Default 64
	// MiB.
	MaxQueue int
	// OnConnect is called for every new connection before anything is read from it: the
	// place for faults from the first byte on. It must not block.
	OnConnect func(*Client)
}

func (o *Options) setDefaults() {
	if o.URI == "" {
		o.URI = o.Flavor.defaultURI()
	}
	if o.Hostname == "" {
		o.Hostname = "libvirttest"
	}
	if o.Version == 0 {
		o.Version = o.Flavor.defaultVersion()
	}
	if o.LibVersion == 0 {
		o.LibVersion = 9_000_000
	}
	if len(o.Auth) == 0 {
		o.Auth = []int32{wire.AuthNone}
	}
	if o.EventIDs == 0 {
		o.EventIDs = 27
	}
	if o.KeepaliveInterval == 0 {
		o.KeepaliveInterval = 5 * time.Second
	}
	if o.KeepaliveCount == 0 {
		o.KeepaliveCount = 5
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = 5
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 64 << 20
	}
}

// ErrServerClosed is returned when a server is used after [Server.Close].
var ErrServerClosed = errors.New("libvirttest: server closed")

// Server is an in-process libvirtd. It is safe for concurrent use. [Server.Close] must be
// called; it waits for every goroutine that the server started.
type Server struct {
	opts Options

	wg sync.WaitGroup // every goroutine and timer of the server

	// mu guards what follows; every event is queued under it, so that all clients see the
	// same order. It is taken before any Client.mu.
	mu           sync.Mutex
	changed      *sync.Cond // on mu: a client, a registration or closed changed
	closed       bool
	listeners    map[net.Listener]struct{}
	clients      []*Client // by age
	connections  uint64
	nextCallback int32
	domains      []*Domain // by age
	byUUID       map[schema.UUID]*Domain
	lastID       int32
	faults       faults
	fields       []byte // scratch space of emit
}

// NewServer returns a server that waits for [Server.Serve], [Server.Listen] or
// [Server.Pipe]. It starts nothing.
func NewServer(opts Options) *Server {
	opts.setDefaults()
	s := &Server{
		opts:      opts,
		listeners: make(map[net.Listener]struct{}),
		byUUID:    make(map[schema.UUID]*Domain),
	}
	s.changed = sync.NewCond(&s.mu)
	if !opts.Empty && opts.Flavor == FlavorTest {
		s.mu.Lock()
		s.addTestDomain()
		s.mu.Unlock()
	}
	return s
}

// URI returns the URI that the server answers to, as a client would open it.
func (s *Server) URI() string { return s.opts.URI }

// Pipe returns the client's end of a new connection in memory. Like net.Pipe it has no
// buffer: what the server sends waits in its queue until it is read; and once the
// server's end is closed, setting a deadline fails with io.ErrClosedPipe. After Close, or
// while connections are refused, the returned end is at its end of file.
func (s *Server) Pipe() net.Conn {
	client, server := net.Pipe()
	s.accept(server)
	return client
}

// DialContext returns [Server.Pipe]; its signature is that of net.Dialer, whose place it
// takes in clients. Network and address are ignored.
func (s *Server) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Pipe(), nil
}

// Listen starts to serve on a new listener ("unix" or "tcp") and returns its address. The
// listener is closed by Close.
func (s *Server) Listen(network, address string) (net.Addr, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("libvirttest: %w", err)
	}
	if !s.track(l) {
		return nil, errors.Join(ErrServerClosed, l.Close())
	}
	s.wg.Go(func() { _ = s.serve(l) }) // ends with the listener, and accept errors have nobody to tell
	return l.Addr(), nil
}

// Serve accepts connections from l until Close is called, then returns [ErrServerClosed];
// or until Accept fails, then returns that. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		return errors.Join(ErrServerClosed, l.Close())
	}
	return s.serve(l)
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) serve(l net.Listener) error {
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		_ = l.Close() // a second close fails, and is meant to
	}()
	for {
		conn, err := l.Accept()
		switch {
		case err != nil && s.isClosed():
			return ErrServerClosed
		case err != nil:
			return fmt.Errorf("libvirttest: accept: %w", err)
		}
		s.accept(conn)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// accept makes a client of conn, or closes it.
func (s *Server) accept(conn net.Conn) {
	s.mu.Lock()
	if s.closed || s.faults.refuse {
		s.mu.Unlock()
		_ = conn.Close()
		return
	}
	s.connections++
	c := newClient(s, conn, s.connections)
	s.clients = append(s.clients, c)
	s.wg.Add(1) // under mu, so that Close cannot be waiting already
	s.mu.Unlock()
	if s.opts.OnConnect != nil {
		s.opts.OnConnect(c)
	}
	go func() {
		defer s.wg.Done()
		c.read()
	}()
}

// Close cuts every connection, closes the listeners, and waits until every goroutine of
// the server has ended. It may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	for l := range s.listeners {
		_ = l.Close() // serve closes it again; nobody is left to tell
	}
	for _, c := range s.clients {
		c.Cut()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Clients returns the open connections, the oldest first.
func (s *Server) Clients() []*Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Client(nil), s.clients...)
}

// Connections returns how many connections were accepted so far.
func (s *Server) Connections() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// opens reports whether OPEN with that name reaches this server's driver.
func (s *Server) opens(name string) bool {
	asked, err := url.Parse(name)
	if err != nil {
		return false
	}
	own, err := url.Parse(s.opts.URI)
	if err != nil {
		return false
	}
	return strings.HasPrefix(name, own.Scheme+":") && asked.Path == own.Path
}
