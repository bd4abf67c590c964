package libvirttest

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// FirehoseOptions shape [Server.Firehose].
type FirehoseOptions struct {
	// Domains is how many domains the events go round. Default 100, at most 1,000,000.
	Domains int
	// Events is how many events are made, over all domains; 0: until ctx ends.
	Events int
	// Rate is in events per second over all domains; 0 is flat out. What a slow client or
	// the lack of clients holds up is not made up for.
	Rate int
	// Batch is how many events are queued at a time. Default 512.
	Batch int
	// Window is how many bytes may wait to be written to one client before it holds up
	// the firehose. Default 256 KiB.
	Window int
	// Clients is how many clients must be registered for lifecycle events for the
	// firehose to go on; while there are fewer it waits. 0 means 1; negative means that
	// it never waits, and events without a client are lost.
	Clients int
}

func (o *FirehoseOptions) setDefaults() error {
	defaults := []struct {
		value      *int
		byDefault  int
		atLeast    int
		atMost     int
		whatItSays string
	}{
		{&o.Domains, 100, 1, 1_000_000, "domains"},
		{&o.Events, 0, 0, 1 << 40, "events"},
		{&o.Rate, 0, 0, 1 << 40, "rate"},
		{&o.Batch, 512, 1, 1 << 20, "batch"},
		{&o.Window, 256 << 10, 1, 1 << 30, "window"},
		{&o.Clients, 1, -1 << 31, 1 << 30, "clients"},
	}
	for _, d := range defaults {
		if *d.value == 0 {
			*d.value = d.byDefault
		}
		if *d.value < d.atLeast || *d.value > d.atMost {
			return fmt.Errorf("libvirttest: firehose: %s %d is not in %d to %d", d.whatItSays, *d.value, d.atLeast, d.atMost)
		}
	}
	return nil
}

// FirehoseResult says what a firehose did.
type FirehoseResult struct {
	// Events is how many were made.
	Events int
	// Clients are the connections that took part, in the order in which they joined.
	Clients []FirehoseClient
}

// FirehoseClient is one connection's part of a firehose.
type FirehoseClient struct {
	// Number is the connection's, as in [ClientInfo].
	Number uint64
	// First is the number of the first event made while the client was registered. Event
	// n is number n/Domains of domain n%Domains.
	First int
	// Queued is how many messages were queued for it: one for each event and matching
	// registration.
	Queued uint64
	// Written is how many event messages were wholly handed to its socket: all that were
	// queued, unless it was closed. Events from other sources in that time are counted
	// too.
	Written uint64
	// Closed says why the connection ended, if it did.
	Closed CloseReason
}

// firehoseCycle is the lifecycle that every firehose domain goes through, again and
// again.
var firehoseCycle = [...]step{startedBooted, suspendedPaused, resumedUnpaused, stoppedShutdown}

// FirehoseEvent returns the type and detail of event number k (from 0) of any firehose
// domain.
func FirehoseEvent(k int) (event, detail int32) {
	st := firehoseCycle[k%len(firehoseCycle)]
	return st.event, st.detail
}

// FirehoseDomain returns firehose domain i as event number k names it: the UUID holds i,
// the id is k+1.
func FirehoseDomain(i, k int) schema.Object {
	d := schema.Object{
		UUID: schema.UUID{0xf1, 0x7e, 0x40, 0x5e, 0, 0, 0x40, 0, 0x80},
		Name: fmt.Sprintf("fire-%06d", i),
		ID:   int32(k + 1),
	}
	binary.BigEndian.PutUint32(d.UUID[12:], uint32(i))
	return d
}

// firehose is one run.
type firehose struct {
	server *Server
	opts   FirehoseOptions
	frames []byte // the frame of every domain, all of one size
	size   int
	made   int
	result FirehoseResult
	joined map[*Client]*firehoseClient
}

type firehoseClient struct {
	client *Client
	before uint64
	FirehoseClient
}

// Firehose sends lifecycle events of made-up domains, round and round, to every client
// whose registration matches, until opts.Events are written or ctx ends (the error is
// then ctx's). Clients may come and go meanwhile.
//
// The slowest client sets the pace: at most opts.Window bytes wait for each, and one that
// does not read holds up everything until it reads or is gone. The content can be
// checked, see [FirehoseTally]. The domains are in the server's lists, without a Defined
// event; their states are brought up to date at the end.
func (s *Server) Firehose(ctx context.Context, opts FirehoseOptions) (FirehoseResult, error) {
	if err := opts.setDefaults(); err != nil {
		return FirehoseResult{}, err
	}
	f := &firehose{server: s, opts: opts, joined: make(map[*Client]*firehoseClient)}
	f.prepare()
	stop := context.AfterFunc(ctx, f.wake)
	defer stop()
	err := f.run(ctx)
	f.finish()
	return f.result, err
}

// wake lets every wait look at its context again.
func (f *firehose) wake() {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	f.server.changed.Broadcast()
	for _, c := range f.server.clients {
		c.mu.Lock()
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}

func (f *firehose) prepare() {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	for i := range f.opts.Domains {
		d := FirehoseDomain(i, 0)
		f.frames = appendEvent(f.frames, wire.ProcDomainEventLifecycle, 0, lifecycleFields(d, 0, 0))
		if i == 0 {
			f.size = len(f.frames)
		}
		if _, ok := f.server.byUUID[d.UUID]; !ok {
			f.server.add(&Domain{domain: d, state: stateRunning, reason: runningBooted, persistent: true, defined: true})
		}
	}
}

func (f *firehose) run(ctx context.Context) error {
	base, madeAtBase := time.Now(), 0
	for f.opts.Events == 0 || f.made < f.opts.Events {
		n := f.opts.Batch
		if f.opts.Events > 0 {
			n = min(n, f.opts.Events-f.made)
		}
		if f.opts.Rate > 0 {
			due := int(time.Since(base).Seconds()*float64(f.opts.Rate)) - (f.made - madeAtBase)
			if due <= 0 {
				if err := pause(ctx, max(time.Second/time.Duration(f.opts.Rate), time.Millisecond)); err != nil {
					return err
				}
				continue
			}
			n = min(n, due)
		}
		before := time.Now()
		if err := f.waitForRoom(ctx); err != nil {
			return err
		}
		if time.Since(before) > 100*time.Millisecond {
			base, madeAtBase = time.Now(), f.made
		}
		if !f.queue(n) {
			continue
		}
		f.made += n
	}
	return f.drain(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitForRoom waits until enough clients are registered and none of them is behind by
// more than the window.
func (f *firehose) waitForRoom(ctx context.Context) error {
	s := f.server
	s.mu.Lock()
	for {
		if err := f.ended(ctx); err != nil {
			s.mu.Unlock()
			return err
		}
		if f.registered() >= f.opts.Clients {
			break
		}
		s.changed.Wait()
	}
	clients := append([]*Client(nil), s.clients...)
	s.mu.Unlock()
	for _, c := range clients {
		if err := c.waitQueued(ctx, f.opts.Window); err != nil {
			return err
		}
	}
	return nil
}

// ended is called with server.mu held.
func (f *firehose) ended(ctx context.Context) error {
	if f.server.closed {
		return ErrServerClosed
	}
	return ctx.Err()
}

// registered counts the open clients with a registration for lifecycle events. Called
// with server.mu held.
func (f *firehose) registered() int {
	n := 0
	for _, c := range f.server.clients {
		if c.hasLifecycle() && !c.isClosed() {
			n++
		}
	}
	return n
}

// queue queues the next n events for every client. It returns false, and made none, if
// the clients that it waited for are gone again.
func (f *firehose) queue(n int) bool {
	s := f.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.registered() < f.opts.Clients {
		return false
	}
	taken := f.opts.Clients <= 0
	for _, c := range s.clients {
		taken = f.queueFor(c, n) || taken
	}
	return taken
}

// queueFor returns false if the client is not registered, or gone.
func (f *firehose) queueFor(c *Client, n int) bool {
	matching := make([]registration, 0, 8)
	for _, r := range c.registrations {
		if r.eventID == 0 {
			matching = append(matching, r)
		}
	}
	if len(matching) == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.roomLocked(n * len(matching) * f.size) {
		return false
	}
	part := f.joined[c]
	if part == nil {
		part = &firehoseClient{client: c, before: c.events}
		part.Number, part.First = c.number, f.made
		f.joined[c] = part
		c.keep = 2 * (f.opts.Window + n*len(matching)*f.size)
		f.result.Clients = append(f.result.Clients, FirehoseClient{Number: c.number})
	}
	before := len(c.out)
	i, k := f.made%f.opts.Domains, f.made/f.opts.Domains
	for range n {
		st := firehoseCycle[k%len(firehoseCycle)]
		template := f.frames[i*f.size : (i+1)*f.size]
		for _, r := range matching {
			if r.filtered && r.domain != schema.UUID(template[f.size-28:f.size-12]) {
				continue
			}
			start := len(c.out)
			c.out = append(c.out, template...)
			frame := c.out[start:]
			binary.BigEndian.PutUint32(frame[frameOverhead:], uint32(r.id))
			binary.BigEndian.PutUint32(frame[f.size-12:], uint32(k+1))
			binary.BigEndian.PutUint32(frame[f.size-8:], uint32(st.event))
			binary.BigEndian.PutUint32(frame[f.size-4:], uint32(st.detail))
		}
		if i++; i == f.opts.Domains {
			i, k = 0, k+1
		}
	}
	if len(c.out) > before {
		part.Queued += uint64((len(c.out) - before) / f.size)
		c.wakeLocked()
	}
	return true
}

// drain waits until everything is written.
func (f *firehose) drain(ctx context.Context) error {
	for c := range f.joined {
		if err := c.waitQueued(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

// finish brings the domains' states and the result up to date.
func (f *firehose) finish() {
	s := f.server
	s.mu.Lock()
	defer s.mu.Unlock()
	f.result.Events = f.made
	byNumber := make(map[uint64]*firehoseClient, len(f.joined))
	for _, part := range f.joined {
		c := part.client
		c.mu.Lock()
		part.Written, part.Closed = c.events-part.before, c.why
		c.keep = keepQueue
		c.trimLocked()
		c.mu.Unlock()
		byNumber[part.Number] = part
	}
	for i := range f.result.Clients {
		f.result.Clients[i] = byNumber[f.result.Clients[i].Number].FirehoseClient
	}
	for i := range min(f.opts.Domains, f.made) {
		if d, ok := s.byUUID[FirehoseDomain(i, 0).UUID]; ok {
			d.firehosed((f.made - 1 - i) / f.opts.Domains)
		}
	}
}

// firehosed sets the state that event number k leaves behind.
func (d *Domain) firehosed(k int) {
	d.domain.ID = int32(k + 1)
	switch firehoseCycle[k%len(firehoseCycle)] {
	case suspendedPaused:
		d.state, d.reason = statePaused, pausedUser
	case stoppedShutdown:
		d.state, d.reason, d.domain.ID = stateShutoff, shutoffShutdown, -1
	case resumedUnpaused:
		d.state, d.reason = stateRunning, runningUnpaused
	default:
		d.state, d.reason = stateRunning, runningBooted
	}
}
