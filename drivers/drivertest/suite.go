package drivertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// defaultPatience is how long the suite waits for what should take a moment.
const defaultPatience = 20 * time.Second

// Run runs the suite. The subtests bear the numbers of package drivers' list.
func Run(t *testing.T, harness Harness) {
	t.Helper()
	if harness.New == nil || harness.Silence <= 0 {
		t.Fatal("the harness needs New and Silence")
	}
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"1/identity", testIdentity},
		{"1/refused", testOpenRefused},
		{"1/context", testOpenContext},
		{"1/context ends after open", testOpenContextEndsLater},
		{"2/read-only", testReadOnly},
		{"3/order", testOrder},
		{"3/copies", testCopies},
		{"3/one callback per filter", testOneCallbackPerFilter},
		{"4/before the answer", testBeforeReply},
		{"4/after deregistration", testAfterDeregister},
		{"5/unknown numbers", testUnknownNumbers},
		{"5/refused kind", testRefusedKind},
		{"5/undecodable", testUndecodable},
		{"5/out of step", testDerailed},
		{"6/silence", testSilence},
		{"7/close", testClose},
		{"7/loss", testLoss},
		{"7/call in flight", testCallInFlight},
		{"7/open again", testOpenAgain},
		{"domains", testDomains},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hypervisor := harness.New(t)
			before := goleak.IgnoreCurrent()
			s := &suite{
				Hypervisor: hypervisor, t: t, driver: hypervisor.Driver(),
				silence: harness.Silence, patience: harness.Patience,
			}
			if s.patience <= 0 {
				s.patience = defaultPatience
			}
			test.run(s)
			// What is left of the hypervisor's side is the hypervisor's to end; it takes a moment.
			hypervisor.Cut()
			if err := goleak.Find(before); err != nil {
				t.Errorf("goroutines are left (7): %v", err)
			}
		})
	}
}

// suite is one test and its hypervisor.
type suite struct {
	Hypervisor
	t        *testing.T
	driver   registry.Driver
	silence  time.Duration
	patience time.Duration
}

// open opens a session, which must succeed. The function returned closes it.
func (s *suite) open() (registry.Session, *handler, func()) {
	s.t.Helper()
	h := newHandler(s.patience)
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	session, err := s.driver.Open(ctx, h.observe)
	if err != nil {
		s.t.Fatalf("Open: %v", err)
	}
	return session, h, func() {
		if err := session.Close(); err != nil {
			s.t.Errorf("Close: %v", err)
		}
		h.report(s.t)
	}
}

// register registers for lifecycle events, of a domain or of all.
func (s *suite) register(session registry.Session, domain *schema.UUID) int32 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	id, err := session.RegisterAny(ctx, schema.KindLifecycle, domain)
	if err != nil {
		s.t.Fatalf("RegisterAny: %v", err)
	}
	return id
}

// deregister ends a callback for lifecycle events.
func (s *suite) deregister(session registry.Session, id int32) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	if err := session.DeregisterAny(ctx, schema.KindLifecycle, id); err != nil {
		s.t.Fatalf("DeregisterAny: %v", err)
	}
}

// await waits until a session is done.
func (s *suite) await(session registry.Session, within time.Duration) {
	s.t.Helper()
	select {
	case <-session.Done():
	case <-time.After(within):
		s.t.Fatalf("the session is not done within %v", within)
	}
}

// line names an observation in a form that reads well in a diff.
func line(o schema.Observation) string {
	return fmt.Sprintf("%s %d/%d callback %d", o.Object.Name, o.Event, o.Detail, o.CallbackID)
}
