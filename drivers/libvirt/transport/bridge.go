package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// bridge makes a net.Conn with deadlines out of the two pipes of an SSH session, which
// have none:
//
//	caller ── near │ net.Pipe │ far ──(copy)── toRemote
//	                                └─(copy)── fromRemote
//
// Neither copier holds more than one buffer, so a slow caller slows the remote program
// through SSH's window.
type bridge struct {
	net.Conn // near
	far      net.Conn
	toRemote io.WriteCloser
	// hangUp ends the remote side, and thereby both copiers. It is called once.
	hangUp func()
	// explain returns why the remote side ended, or nil if it just ended. It may block
	// for a moment.
	explain func() error

	copiers sync.WaitGroup
	once    sync.Once
	closed  atomic.Bool
}

func newBridge(fromRemote io.Reader, toRemote io.WriteCloser, hangUp func(), explain func() error) *bridge {
	near, far := net.Pipe()
	b := &bridge{Conn: near, far: far, toRemote: toRemote, hangUp: hangUp, explain: explain}
	b.copiers.Go(func() {
		_, _ = io.Copy(far, fromRemote) // Either end may close; the caller's Read tells.
		_ = far.Close()
	})
	b.copiers.Go(func() {
		_, _ = io.Copy(toRemote, far)
		_ = toRemote.Close()
		// If the remote side stopped listening first, what it still says must arrive:
		// writes go nowhere until its output ends, as on a TCP connection that is half
		// closed.
		_, _ = io.Copy(io.Discard, far)
	})
	return b
}

// Read reads what the remote side wrote. When that ended badly, the error is an [*Error]
// that wraps io.EOF and says why.
func (b *bridge) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	return n, b.tell(err)
}

// Write writes to the remote side.
func (b *bridge) Write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	return n, b.tell(err)
}

// tell replaces the pipe's own errors by those of a network connection.
func (b *bridge) tell(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	if b.closed.Load() {
		return net.ErrClosed
	}
	if why := b.explain(); why != nil {
		return why
	}
	return err
}

// Close ends both sides and waits for the copiers.
func (b *bridge) Close() error {
	b.once.Do(func() {
		b.closed.Store(true)
		_ = b.Conn.Close()
		_ = b.far.Close()
		b.hangUp()
	})
	b.copiers.Wait()
	return nil
}
