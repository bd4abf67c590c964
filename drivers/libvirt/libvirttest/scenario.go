package libvirttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// ScenarioOptions shape [Server.Scenario].
type ScenarioOptions struct {
	// Pace is the mean time between two actions; each pause is between half and one and a
	// half of it. Default 1s.
	Pace time.Duration
	// Seed seeds the random source: the same seed on a new server gives the same actions.
	// The zero value is a seed like any other.
	Seed uint64
	// Steps is how many actions are done; 0: until ctx ends.
	Steps int
}

// scenarioDomain is a domain of the scenario, and how it lives.
type scenarioDomain struct {
	name string
	uuid schema.UUID
	// transient ones are created and go when they stop.
	transient bool
	// steady ones run, and seldom stop.
	steady bool
}

// scenarioUUID is stable: consumers may name these domains.
func scenarioUUID(n byte) schema.UUID {
	return schema.UUID{0x76, 0x69, 0x72, 0x74, 0x63, 0x61, 0x40, 0x73, 0x80, 0x74, 0, 0, 0, 0, 0, n}
}

var scenarioDomains = []scenarioDomain{
	{name: "web-1", uuid: scenarioUUID(1), steady: true},
	{name: "web-2", uuid: scenarioUUID(2), steady: true},
	{name: "db-1", uuid: scenarioUUID(3), steady: true},
	{name: "cache-1", uuid: scenarioUUID(4)},
	{name: "build-1", uuid: scenarioUUID(5), transient: true},
	{name: "desktop-1", uuid: scenarioUUID(6)},
}

// ScenarioDomains returns the domains that [Server.Scenario] lives through. Their names
// and UUIDs are stable.
func ScenarioDomains() []schema.Object {
	domains := make([]schema.Object, len(scenarioDomains))
	for i, d := range scenarioDomains {
		domains[i] = schema.Object{UUID: d.uuid, Name: d.name, ID: -1}
	}
	return domains
}

// action is something that may happen to a domain.
type action struct {
	weight int
	do     func() error
}

// Scenario lets a handful of named domains live: they are defined and started, then
// suspended, resumed, saved, restored, shut down, crash, sleep, and migrate away and
// back, at the pace given. It returns nil after opts.Steps actions or when ctx ends or
// the server is closed, and an error if the domains could not be defined. It blocks on no
// client.
func (s *Server) Scenario(ctx context.Context, opts ScenarioOptions) error {
	if opts.Pace <= 0 {
		opts.Pace = time.Second
	}
	random := rand.New(rand.NewPCG(opts.Seed, 0)) // the same lives for the same seed, so no secret source
	err := s.live(ctx, opts, random)
	ended := errors.Is(err, ErrServerClosed) || ctx.Err() != nil
	if err != nil && !ended {
		return err
	}
	return nil
}

func (s *Server) live(ctx context.Context, opts ScenarioOptions, random *rand.Rand) error {
	wait := func() error {
		return pause(ctx, opts.Pace/2+time.Duration(random.Int64N(int64(opts.Pace)+1)))
	}
	for _, sd := range scenarioDomains {
		if sd.transient {
			continue
		}
		if _, ok := s.Domain(sd.uuid); ok {
			continue // lived here before
		}
		d, err := s.Define(sd.name, sd.uuid)
		if err != nil {
			return fmt.Errorf("define %s: %w", sd.name, err)
		}
		if !sd.steady {
			continue
		}
		if err := wait(); err != nil {
			return err
		}
		if err := d.Start(); err != nil {
			return fmt.Errorf("start %s: %w", sd.name, err)
		}
	}
	for step := 0; opts.Steps == 0 || step < opts.Steps; step++ {
		if err := wait(); err != nil {
			return err
		}
		if err := s.liveOn(random); err != nil {
			return err
		}
	}
	return nil
}

// liveOn does one action that is legal now.
func (s *Server) liveOn(random *rand.Rand) error {
	sd := scenarioDomains[random.IntN(len(scenarioDomains))]
	actions := s.possible(sd)
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := random.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			if err := a.do(); err != nil {
				return fmt.Errorf("domain %s: %w", sd.name, err)
			}
			return nil
		}
	}
	return nil
}

// possible returns what may happen to a domain in its present state. It is never empty.
func (s *Server) possible(sd scenarioDomain) []action {
	d, ok := s.Domain(sd.uuid)
	if !ok {
		return []action{{1, func() error { return s.appear(sd) }}}
	}
	unrest := 3
	if sd.steady {
		unrest = 1
	}
	qemu := s.opts.Flavor == FlavorQEMU
	state := d.State()
	switch state.State {
	case stateRunning:
		actions := []action{
			{4, d.Suspend},
			{2 * unrest, d.Shutdown},
			{unrest, d.Destroy},
			{1, d.Crash},
		}
		if !sd.transient {
			actions = append(actions, action{2, d.Save})
		}
		if qemu {
			actions = append(actions, action{2, d.PMSuspend}, action{2, func() error { return d.MigrateOut(false) }})
		}
		return actions
	case statePaused:
		return []action{{9, d.Resume}, {1, d.Destroy}}
	case statePMSuspended:
		return []action{{1, d.PMWakeup}}
	}
	switch {
	case state.Reason == shutoffSaved:
		return []action{{1, d.Restore}}
	case state.Reason == shutoffMigrated && qemu:
		return []action{{1, func() error { return s.appear(sd) }}}
	}
	return []action{{1, d.Start}}
}

// appear brings a domain that is not here: a transient one is created, another migrates
// back.
func (s *Server) appear(sd scenarioDomain) error {
	if sd.transient || s.opts.Flavor != FlavorQEMU {
		_, err := s.Create(sd.name, sd.uuid)
		return err
	}
	_, err := s.MigrateIn(sd.name, sd.uuid, true)
	return err
}
