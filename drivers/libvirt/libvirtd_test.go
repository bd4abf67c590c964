package libvirt

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// collector is a handler that keeps what it is given.
type collector struct {
	mu   sync.Mutex
	seen []schema.Observation
	more chan struct{}
}

func newCollector() *collector { return &collector{more: make(chan struct{}, 1)} }

func (c *collector) observe(batch []schema.Observation) {
	c.mu.Lock()
	c.seen = append(c.seen, batch...)
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
		all = append(all, fmt.Sprintf("%s %d/%d cb %d", o.Object.Name, o.Event, o.Detail, o.CallbackID))
	}
	return all
}

func dialUnix(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// openReal opens a session with the test driver of a real daemon and closes it when the test ends.
func openReal(t testing.TB, daemon *lab.Daemon, observe func([]schema.Observation)) *Session {
	t.Helper()
	driver := New(Config{Name: "real", URI: "test:///default"}, Options{Dial: dialUnix(daemon.Socket())})
	s, err := driver.Open(t.Context(), observe)
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
	s := openReal(t, daemon, newCollector().observe)
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

func testRealLifecycle(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	c := newCollector()
	s := openReal(t, daemon, c.observe)
	all, err := s.RegisterAny(t.Context(), schema.KindLifecycle, nil)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Define(t, "test:///default", "one", lab.TestDomain("one"))
	for _, command := range []string{"start", "suspend", "resume", "destroy", "undefine"} {
		daemon.Virsh(t, "test:///default", command, "one")
	}
	got := c.await(t, 6)
	want := []string{
		fmt.Sprintf("one 0/0 cb %d", all), fmt.Sprintf("one 2/0 cb %d", all), fmt.Sprintf("one 3/0 cb %d", all),
		fmt.Sprintf("one 4/0 cb %d", all), fmt.Sprintf("one 5/1 cb %d", all), fmt.Sprintf("one 1/0 cb %d", all),
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
	if err := s.DeregisterAny(t.Context(), schema.KindLifecycle, all); err != nil {
		t.Fatal(err)
	}
	// A callback of one domain, which does not exist yet, beside nothing else.
	uuid := schema.UUID{0x11, 0x22, 0x33, 0x44}
	one, err := s.RegisterAny(t.Context(), schema.KindLifecycle, &uuid)
	if err != nil {
		t.Fatal(err)
	}
	if one == all {
		t.Errorf("id %d was given twice", one)
	}
	daemon.Define(t, "test:///default", "other", lab.TestDomain("other"))
	daemon.Define(t, "test:///default", "mine", "<domain type='test'><name>mine</name><uuid>"+uuid.String()+
		"</uuid><memory>8192</memory><os><type>hvm</type></os></domain>")
	daemon.Virsh(t, "test:///default", "undefine", "other")
	daemon.Virsh(t, "test:///default", "undefine", "mine")
	want = []string{fmt.Sprintf("mine 0/0 cb %d", one), fmt.Sprintf("mine 1/0 cb %d", one)}
	if diff := cmp.Diff(want, lines(c.await(t, 8)[6:])); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func testRealDomains(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	daemon.Define(t, "test:///default", "off", lab.TestDomain("off"))
	defer daemon.Virsh(t, "test:///default", "undefine", "off")
	s := openReal(t, daemon, newCollector().observe)
	bulk, err := s.Domains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.noBulkStats.Load() {
		t.Error("the test driver has all-domain-stats, but they were not used")
	}
	states := map[string]int32{}
	for _, d := range bulk {
		states[d.Name] = d.State
	}
	if diff := cmp.Diff(map[string]int32{"test": 1, "off": 5}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	s.noBulkStats.Store(true)
	single, err := s.Domains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := func(all []schema.ListedDomain) map[string]schema.ListedDomain {
		m := map[string]schema.ListedDomain{}
		for _, d := range all {
			m[d.Name] = d
		}
		return m
	}
	if diff := cmp.Diff(byName(bulk), byName(single)); diff != "" {
		t.Errorf("the two ways to list differ (-bulk +single):\n%s", diff)
	}
}

func testRealRefusals(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	s := openReal(t, daemon, newCollector().observe)
	if _, err := s.RegisterAny(t.Context(), schema.KindLifecycle, nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.RegisterAny(t.Context(), schema.KindLifecycle, nil)
	if code(err) != wire.CodeInvalidArg {
		t.Errorf("second registration: %v, want code 8", err)
	}
	domains, err := s.Domains(t.Context())
	if err != nil || len(domains) == 0 {
		t.Fatal(domains, err)
	}
	var args wire.Encoder
	args.Domain(domains[0].Object)
	_, err = s.call(t.Context(), wire.ProcDomainSuspend, args.Payload())
	if code(err) != wire.CodeOperationDenied || !IsAccessDenied(err) {
		t.Errorf("suspend: %v, want code 29 on a read-only connection", err)
	}
	if _, err = s.call(t.Context(), 9999, nil); code(err) != wire.CodeRPC {
		t.Errorf("unknown procedure: %v, want code 39", err)
	}
	var register wire.Encoder
	register.Int32(99)
	register.Null()
	_, err = s.call(t.Context(), wire.ProcDomainEventRegisterAny, register.Payload())
	if !refusesKind(code(err), schema.KindOf(schema.FamilyDomain, 99)) {
		t.Errorf("event id 99: %v, want code 1", err)
	}
	driver := New(Config{Name: "real", URI: "nosuch:///system"}, Options{Dial: dialUnix(daemon.Socket())})
	if _, err := driver.Open(t.Context(), newCollector().observe); err == nil {
		t.Error("a driver that does not exist was opened")
	}
}

// testRealBurst lets other clients make as many events as the daemon can, while the
// session registers and deregisters for one domain: the callback of all domains must not miss any.
func testRealBurst(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	const rounds, pairs = 40, 50
	c := newCollector()
	s := openReal(t, daemon, c.observe)
	all, err := s.RegisterAny(t.Context(), schema.KindLifecycle, nil)
	if err != nil {
		t.Fatal(err)
	}
	domains, err := s.Domains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A read-write client of the same protocol: the driver itself has no such open.
	actor := openActor(t, daemon)
	var acting sync.WaitGroup
	acting.Go(func() {
		var args wire.Encoder
		args.Domain(domains[0].Object)
		for range rounds * pairs {
			for _, procedure := range []int32{wire.ProcDomainSuspend, procDomainResume} {
				if _, err := actor.call(t.Context(), procedure, args.Payload()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range rounds {
		uuid := domains[0].UUID
		one, err := s.RegisterAny(t.Context(), schema.KindLifecycle, &uuid)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.DeregisterAny(t.Context(), schema.KindLifecycle, one); err != nil {
			t.Fatal(err)
		}
	}
	acting.Wait()
	// The last events of a call come before its reply, but to another connection.
	var own []schema.Observation
	for deadline := time.Now().Add(20 * time.Second); len(own) < 2*rounds*pairs && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		own = own[:0]
		for _, o := range c.await(t, 1) {
			if o.CallbackID == all {
				own = append(own, o)
			}
		}
	}
	if got, want := len(own), 2*rounds*pairs; got != want {
		t.Fatalf("got %d events of the callback of all domains, want %d", got, want)
	}
	for i, o := range own {
		if want := []int32{3, 4}[i%2]; o.Event != want {
			t.Fatalf("event %d is %d, want %d", i, o.Event, want)
		}
	}
	t.Logf("%+v", s.Stats())
}

const procDomainResume int32 = 28

// openActor returns a session that may change guests, as only a test may want it.
func openActor(t *testing.T, daemon *lab.Daemon) *Session {
	t.Helper()
	conn, err := dialUnix(daemon.Socket())(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(conn, Config{Name: "actor"}.withDefaults(), Options{}, newCollector().observe)
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

// testRealLost kills the daemon: the session must end by itself, and say why. It
// comes last.
func testRealLost(t *testing.T, daemon *lab.Daemon) {
	t.Helper()
	driver := New(Config{Name: "real", URI: "test:///default"}, Options{Dial: dialUnix(daemon.Socket())})
	s, err := driver.Open(t.Context(), newCollector().observe)
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
	if _, err := s.Domains(t.Context()); err == nil {
		t.Error("a lost session still lists domains")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
