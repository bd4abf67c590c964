package libvirt

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// collector keeps what it is given.
type collector struct {
	mu   sync.Mutex
	seen []schema.Observation
	// listings are the listings that came, places how many observations came before each.
	listings []*schema.Listing
	places   []int
	more     chan struct{}
}

func newCollector() *collector { return &collector{more: make(chan struct{}, 1)} }

func (c *collector) take(batch drivers.Batch) {
	c.mu.Lock()
	c.seen = append(c.seen, batch.Observations...)
	if batch.Listing != nil {
		c.listings = append(c.listings, batch.Listing)
		c.places = append(c.places, len(c.seen))
	}
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// await waits until n observations are there and returns them all.
func (c *collector) await(t testing.TB, n int) []schema.Observation {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		seen := c.seen[:len(c.seen):len(c.seen)]
		c.mu.Unlock()
		if len(seen) >= n {
			return seen
		}
		select {
		case <-c.more:
		case <-timeout.C:
			t.Fatalf("got %d observations, want %d", len(seen), n)
		}
	}
}

// lines are observations in a form that reads well in a diff.
func lines(observations []schema.Observation) []string {
	all := make([]string, 0, len(observations))
	for _, o := range observations {
		all = append(all, fmt.Sprintf("%s %d/%d", o.Object.Name, o.Event, o.Detail))
	}
	return all
}

func dialUnix(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// openReal opens a session with the test driver of a real daemon and closes it when the
// test ends.
func openReal(t testing.TB, daemon *lab.Daemon, out func(drivers.Batch)) *Session {
	t.Helper()
	driver := New(Config{Name: "real", URI: "test:///default"}, Options{Dial: dialUnix(daemon.Socket())})
	s, err := driver.open(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Err(); err != nil {
			t.Errorf("session ended with %v", err)
		}
	})
	return s
}

func TestLibvirtd(t *testing.T) {
	daemon := lab.Libvirtd(t, lab.Options{})
	daemon.Hold(t, "test:///default")
	t.Run("identity", func(t *testing.T) { testRealIdentity(t, daemon) })
	t.Run("lifecycle", func(t *testing.T) { testRealLifecycle(t, daemon) })
	t.Run("domains", func(t *testing.T) { testRealDomains(t, daemon) })
	t.Run("refusals", func(t *testing.T) { testRealRefusals(t, daemon) })
	t.Run("burst", func(t *testing.T) { testRealBurst(t, daemon) })
	t.Run("lost", func(t *testing.T) { testRealLost(t, daemon) })
}

func testRealIdentity(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	s := openReal(t, daemon, newCollector().take)
	want := &schema.Connection{
		Name: "real", URI: "test:///default", Hostname: daemon.Hostname,
		Source: "test://" + daemon.Hostname + "/default",
	}
	if diff := cmp.Diff(want, s.Connection()); diff != "" {
		t.Errorf("connection (-want +got):\n%s", diff)
	}
	if h := s.Hypervisor(); h.Type != "TEST" && h.Type != "Test" || h.LibVersion < 1_000_000 {
		t.Errorf("hypervisor = %+v", h)
	}
}

// watchReal brings filters into force, of which none may be missing.
func watchReal(t *testing.T, s *Session, want ...drivers.Filter) {
	t.Helper()
	if missing, err := s.Watch(t.Context(), want); err != nil || len(missing) > 0 {
		t.Fatal(missing, err)
	}
}

// listReal returns the last state that was listed of each domain, by name.
func listReal(t *testing.T, s *Session, c *collector) map[string]schema.ListedDomain {
	t.Helper()
	c.mu.Lock()
	c.listings = nil
	c.mu.Unlock()
	if err := s.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	domains := map[string]schema.ListedDomain{}
	for _, l := range c.listings {
		for _, d := range l.Domains {
			domains[d.Name] = d
		}
	}
	return domains
}

func testRealLifecycle(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	c := newCollector()
	s := openReal(t, daemon, c.take)
	watchReal(t, s, all)
	daemon.Define(t, "test:///default", "one", lab.TestDomain("one"))
	for _, command := range []string{"start", "suspend", "resume", "destroy", "undefine"} {
		daemon.Virsh(t, "test:///default", command, "one")
	}
	got := c.await(t, 6)
	want := []string{
		"one 0/0", "one 2/0", "one 3/0", "one 4/0", "one 5/1", "one 1/0",
	}
	if diff := cmp.Diff(want, lines(got)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, o := range got {
		if o.Connection != s.Connection() || o.Kind != schema.KindLifecycle || o.Object.UUID.IsZero() ||
			time.Since(o.Received) > time.Minute || o.Received.Location() != time.UTC {
			t.Errorf("observation is incomplete: %+v", o)
		}
	}
	// A callback of one domain, which does not exist yet, beside nothing else.
	uuid := schema.UUID{0x11, 0x22, 0x33, 0x44}
	watchReal(t, s, drivers.Filter{Kind: schema.KindLifecycle, Domain: uuid})
	daemon.Define(t, "test:///default", "other", lab.TestDomain("other"))
	daemon.Define(t, "test:///default", "mine", "<domain type='test'><name>mine</name><uuid>"+uuid.String()+
		"</uuid><memory>8192</memory><os><type>hvm</type></os></domain>")
	daemon.Virsh(t, "test:///default", "undefine", "other")
	daemon.Virsh(t, "test:///default", "undefine", "mine")
	want = []string{"mine 0/0", "mine 1/0"}
	if diff := cmp.Diff(want, lines(c.await(t, 8)[6:])); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func testRealDomains(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	daemon.Define(t, "test:///default", "off", lab.TestDomain("off"))
	defer daemon.Virsh(t, "test:///default", "undefine", "off")
	c := newCollector()
	s := openReal(t, daemon, c.take)
	bulk := listReal(t, s, c)
	if s.noBulkStats.Load() {
		t.Error("the test driver has all-domain-stats, but they were not used")
	}
	states := map[string]int32{}
	for name, d := range bulk {
		states[name] = d.State
	}
	if diff := cmp.Diff(map[string]int32{"test": 1, "off": 5}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	s.noBulkStats.Store(true)
	if diff := cmp.Diff(bulk, listReal(t, s, c)); diff != "" {
		t.Errorf("the two ways to list differ (-bulk +single):\n%s", diff)
	}
}

func testRealRefusals(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	c := newCollector()
	s := openReal(t, daemon, c.take)
	watchReal(t, s, all)
	var register wire.Encoder
	register.Int32(schema.KindLifecycle.EventID())
	register.Null()
	_, err := s.call(t.Context(), wire.ProcDomainEventRegisterAny, register.Payload())
	if code(err) != wire.CodeInvalidArg {
		t.Errorf("second registration: %v, want code 8", err)
	}
	domains := listReal(t, s, c)
	if len(domains) == 0 {
		t.Fatal("nothing is listed")
	}
	var args wire.Encoder
	args.Domain(domains["test"].Object)
	_, err = s.call(t.Context(), wire.ProcDomainSuspend, args.Payload())
	if code(err) != wire.CodeOperationDenied || !IsAccessDenied(err) {
		t.Errorf("suspend: %v, want code 29 on a read-only connection", err)
	}
	if _, err = s.call(t.Context(), 9999, nil); code(err) != wire.CodeRPC {
		t.Errorf("unknown procedure: %v, want code 39", err)
	}
	register = wire.Encoder{}
	register.Int32(99)
	register.Null()
	_, err = s.call(t.Context(), wire.ProcDomainEventRegisterAny, register.Payload())
	if !refusesKind(code(err), schema.KindOf(schema.FamilyDomain, 99)) {
		t.Errorf("event id 99: %v, want code 1", err)
	}
	driver := New(Config{Name: "real", URI: "nosuch:///system"}, Options{Dial: dialUnix(daemon.Socket())})
	if _, err := driver.open(t.Context(), newCollector().take); err == nil {
		t.Error("a driver that does not exist was opened")
	}
}

// testRealBurst lets another client make as many events as the daemon can, while the
// session changes from all domains to one and back: none may be missing, come twice or
// out of order.
func testRealBurst(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	const pairs = 2000
	c := newCollector()
	s := openReal(t, daemon, c.take)
	watchReal(t, s, all)
	domain := listReal(t, s, c)["test"].Object
	// A read-write client of the same protocol: the driver itself has no such open.
	actor := openActor(t, daemon)
	var acting sync.WaitGroup
	acted := make(chan struct{})
	acting.Go(func() {
		defer close(acted)
		var args wire.Encoder
		args.Domain(domain)
		for range pairs {
			for _, procedure := range []int32{wire.ProcDomainSuspend, procDomainResume} {
				if _, err := actor.call(t.Context(), procedure, args.Payload()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	changes := 0
	for acting := true; acting; changes++ {
		watchReal(t, s, drivers.Filter{Kind: schema.KindLifecycle, Domain: domain.UUID})
		watchReal(t, s, all)
		select {
		case <-acted:
			acting = false
		default:
		}
	}
	acting.Wait()
	// The last events of a call come before its reply, but to another connection.
	seen := c.await(t, 2*pairs)
	if len(seen) != 2*pairs {
		t.Fatalf("got %d events, want %d", len(seen), 2*pairs)
	}
	for i, o := range seen {
		if want := []int32{3, 4}[i%2]; o.Event != want {
			t.Fatalf("event %d is %d, want %d", i, o.Event, want)
		}
	}
	t.Logf("%d changes, %+v", changes, s.Stats())
}

const procDomainResume int32 = 28

// openActor returns a session that may change guests, as only a test may want it.
func openActor(t *testing.T, daemon *lab.Daemon) *Session {
	t.Helper()
	conn, err := dialUnix(daemon.Socket())(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(conn, Config{Name: "actor"}.withDefaults(), Options{}, newCollector().take)
	s.start()
	t.Cleanup(func() { _ = s.Close() })
	var args wire.Encoder
	args.OptionalString("test:///default")
	args.Uint32(0)
	for _, step := range []struct {
		procedure int32
		args      []byte
	}{{wire.ProcAuthList, nil}, {wire.ProcConnectOpen, args.Payload()}} {
		if _, err := s.call(t.Context(), step.procedure, step.args); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// testRealLost kills the daemon: the session must end by itself, and say why. It comes
// last.
func testRealLost(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	driver := New(Config{Name: "real", URI: "test:///default"}, Options{Dial: dialUnix(daemon.Socket())})
	s, err := driver.open(t.Context(), newCollector().take)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Kill(t)
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the session outlives its daemon")
	}
	if s.Err() == nil {
		t.Error("the session does not say why it ended")
	}
	if err := s.List(t.Context()); err == nil {
		t.Error("a lost session still lists domains")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
