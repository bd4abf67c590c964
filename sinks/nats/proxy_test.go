package nats

import (
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy whose connections can be cut and stalled.
type proxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]bool
	budget  int           // bytes from the client until the cut, when positive
	stalled chan struct{} // not nil: nothing passes until it is closed
	muted   bool          // what a server sends is dropped
	closed  bool
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.closed {
			_, _ = client.Close(), server.Close()
		} else {
			p.conns[client], p.conns[server] = true, true
		}
		p.mu.Unlock()
		p.group.Go(func() { p.copy(server, client, true) })
		p.group.Go(func() { p.copy(client, server, false) })
	}
}

func (p *proxy) copy(to, from net.Conn, fromClient bool) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range []net.Conn{to, from} {
			_ = c.Close()
			delete(p.conns, c)
		}
	}()
	buf := make([]byte, 8192)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		stalled, cut, dropped := p.stalled, false, p.muted && !fromClient
		if fromClient && p.budget > 0 {
			if n >= p.budget {
				n, cut = p.budget, true
			}
			p.budget -= n
		}
		p.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		if dropped {
			n = 0
		}
		if _, writeErr := to.Write(buf[:n]); writeErr != nil || err != nil || cut {
			return
		}
	}
}

// cutAfter cuts the connection after that many more bytes from clients: in the middle of
// a message.
func (p *proxy) cutAfter(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = bytes
}

// mute drops what a server sends from now on, until unmute resets all connections.
func (p *proxy) mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

func (p *proxy) unmute() {
	p.mu.Lock()
	p.muted = false
	p.mu.Unlock()
	p.cut()
}

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// stall lets nothing pass any more.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = make(chan struct{})
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.stalled != nil {
		close(p.stalled)
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.cut()
	p.group.Wait()
}
