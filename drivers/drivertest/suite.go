package drivertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// defaultPatience is how long the suite waits for what should take a moment.
const defaultPatience = 20 * time.Second

// moment is a time in which some events flow.
const moment = 20 * time.Millisecond

// Run runs the suite. The subtests bear the numbers of the laws of package drivers.
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
		{"3/once", testOnce},
		{"3/change over", testChangeOver},
		{"4/before the answer", testBeforeReply},
		{"4/no longer wanted", testNoLongerWanted},
		{"4/the same again", testSameAgain},
		{"5/unknown numbers", testUnknownNumbers},
		{"5/refused kind", testRefusedKind},
		{"5/refused for a moment", testRefusedForAMoment},
		{"5/undecodable", testUndecodable},
		{"5/out of step", testDerailed},
		{"6/silence", testSilence},
		{"7/close", testClose},
		{"7/loss", testLoss},
		{"7/call in flight", testCallInFlight},
		{"7/open again", testOpenAgain},
		{"8/listing", testListing},
		{"8/place of a listing", testListingInOrder},
		{"9/sure", testSure},
		{"11/long name", testLongName},
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
			// What is left of the hypervisor's side is the hypervisor's to end; it takes
			// a moment.
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
	driver   drivers.Driver
	silence  time.Duration
	patience time.Duration
}

// open opens a session, which must succeed. The function returned closes it.
func (s *suite) open() (drivers.Session, *handler, func()) {
	s.t.Helper()
	h := newHandler(s.patience)
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	session, err := s.driver.Open(ctx, nil, h.take)
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

// all is the filter for the lifecycle events of every domain.
var all = drivers.Filter{Kind: schema.KindLifecycle}

// of returns the filter for the lifecycle events of a domain.
func of(domain schema.UUID) drivers.Filter {
	return drivers.Filter{Kind: schema.KindLifecycle, Domain: domain}
}

// watch brings filters into force, of which none may be missing.
func (s *suite) watch(session drivers.Session, want ...drivers.Filter) {
	s.t.Helper()
	if missing := s.watchSome(session, want...); len(missing) > 0 {
		s.t.Fatalf("missing: %v", missing)
	}
}

// watchSome brings filters into force and returns those that are missing.
func (s *suite) watchSome(session drivers.Session, want ...drivers.Filter) []drivers.Missing {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	missing, err := session.Watch(ctx, want)
	if err != nil {
		s.t.Fatalf("Watch: %v", err)
	}
	return missing
}

// await waits until a session is done.
func (s *suite) await(session drivers.Session, within time.Duration) {
	s.t.Helper()
	select {
	case <-session.Done():
	case <-time.After(within):
		s.t.Fatalf("the session is not done within %v", within)
	}
}

// line names an observation in a form that reads well in a diff.
func line(o schema.Observation) string {
	return fmt.Sprintf("%s %d/%d", o.Object.Name, o.Event, o.Detail)
}
