package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/virtcast/virtcast/internal/tlsfiles"
)

var (
	// errDial is in the error when no TCP connection could be made.
	errDial = errors.New("dial")
	// errAckTimeout is returned when acknowledgements are due and none came in time.
	errAckTimeout = errors.New("no acknowledgement in time")
	// errLost is returned when the connection ends while an answer is due.
	errLost = errors.New("connection lost")
)

// replyRoom is how many replies are kept for a Deliver that is busy publishing. It is
// more than there can be unanswered messages.
const replyRoom = 4 * max(lanesWindow, batchFlow*batchFlows)

// link is one connection to a server. It never reconnects. It is closed when a Deliver
// leaves anything unanswered, so that no reply can be taken for that to another message.
type link struct {
	nc    *natsgo.Conn
	inbox string // replies go to subjects below it
	// replies receives what arrives below inbox.
	replies chan *natsgo.Msg
	// faults receives asynchronous errors, such as a missing permission, as far as there
	// is room. A message whose refusal finds none times out.
	faults chan error
	// closed is closed once the client library is done with the connection.
	closed chan struct{}
	fit    Fit
	server member
	secure bool      // TLS is in use
	made   time.Time // when the server told its max_payload
	// stale is set when the stream has refused a message, so that fit may be out of date.
	// It belongs to Deliver.
	stale bool
	// generation numbers the uses of inbox.
	generation uint64
	// unanswered is set while anything was sent and not answered. It belongs to Deliver.
	unanswered bool

	mu       sync.Mutex // guards what follows
	conns    []net.Conn
	aborted  bool
	faultErr error // the first asynchronous error
}

// dialFunc makes a func the client library's dialer.
type dialFunc func(network, address string) (net.Conn, error)

func (f dialFunc) Dial(network, address string) (net.Conn, error) { return f(network, address) }

// dial connects to a server and logs in. It blocks until that is done, for at most
// cfg.ConnectTimeout, or until ctx ends. The client library may go on to servers that
// this one announces.
func dial(ctx context.Context, cfg Config, files *tlsfiles.Files, to member) (*link, error) {
	l := &link{
		server:  to,
		made:    time.Now(),
		replies: make(chan *natsgo.Msg, replyRoom),
		faults:  make(chan error, lanesWindow),
		closed:  make(chan struct{}),
	}
	defer context.AfterFunc(ctx, l.abort)()
	var dialErr error
	options := []natsgo.Option{
		natsgo.Name("virtcast"),
		natsgo.NoReconnect(),
		natsgo.Timeout(cfg.ConnectTimeout),
		natsgo.FlusherTimeout(cfg.AckTimeout),
		natsgo.PingInterval(20 * time.Second),
		natsgo.SetCustomDialer(dialFunc(func(network, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: cfg.ConnectTimeout}
			conn, err := d.DialContext(ctx, network, address)
			if err != nil {
				dialErr = fmt.Errorf("%w: %w", errDial, err)
				return nil, err
			}
			dialErr = nil
			return conn, l.add(conn)
		})),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { l.fail(err) }),
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(l.closed) }),
	}
	auth, err := authOptions(cfg, files, to.secure, to.tlsName)
	if err != nil {
		return nil, err
	}
	if l.nc, err = natsgo.Connect(to.url.String(), append(options, auth...)...); err != nil {
		l.abort()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, natsgo.ErrNoServers) && dialErr != nil {
			return nil, dialErr
		}
		return nil, err
	}
	_, err = l.nc.TLSConnectionState()
	l.secure = err == nil
	l.inbox = l.nc.NewInbox()
	if _, err := l.nc.ChanSubscribe(l.inbox+".>", l.replies); err != nil {
		l.close()
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	return l, nil
}

// add notes a network connection, so that abort can close it.
func (l *link) add(conn net.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted {
		return errors.Join(net.ErrClosed, conn.Close())
	}
	l.conns = append(l.conns, conn)
	return nil
}

// abort makes everything that blocks on the connection return, at once. What was not yet
// written is lost.
func (l *link) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborted = true
	for _, conn := range l.conns {
		_ = conn.Close() // It may be closed already.
	}
	l.conns = nil
}

// fail notes an asynchronous error.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faultErr == nil {
		l.faultErr = err
	}
	select {
	case l.faults <- err:
	default:
	}
}

// asyncError returns the first asynchronous error, or nil.
func (l *link) asyncError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faultErr
}

// close ends the connection and waits for the client library.
func (l *link) close() {
	l.abort()
	l.nc.Close()
	<-l.closed
}

// usable reports whether the connection is still there, as far as is known.
func (l *link) usable() bool { return !l.nc.IsClosed() && l.asyncError() == nil }

// next returns the next reply. Replies that have arrived come first, even when the
// connection is lost. It returns nil and no error when tick fires.
func (l *link) next(ctx context.Context, tick <-chan time.Time) (*natsgo.Msg, error) {
	select {
	case m := <-l.replies:
		return m, nil
	default:
	}
	select {
	case m := <-l.replies:
		return m, nil
	case <-tick:
		return nil, nil
	case err := <-l.faults:
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.closed:
		select {
		case m := <-l.replies:
			return m, nil
		default:
			return nil, l.lost(ctx)
		}
	}
}

// publishFailed returns why a message could not be written.
func (l *link) publishFailed(ctx context.Context, err error) error {
	if errors.Is(err, natsgo.ErrConnectionClosed) {
		return l.lost(ctx)
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// lost says why the connection is not usable any more.
func (l *link) lost(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.nc.LastError(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return errLost
}
