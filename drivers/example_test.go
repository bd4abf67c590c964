package drivers_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/virtcast/virtcast"
	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// poller is the driver of a hypervisor that has no events and can only be asked. The first
// listing comes long after Open: the registry has called Watch then.
type poller struct{ ask func() *schema.Listing }

func (p poller) Open(_ context.Context, _ schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	s := &polling{end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for tick := time.Tick(10 * time.Millisecond); ; {
			select {
			case <-tick:
				out(drivers.Batch{Listing: p.ask()})
			case <-s.end:
				return
			}
		}
	}()
	return s, nil
}

type polling struct {
	sync.Once
	end, done chan struct{}
}

func (s *polling) Watch(context.Context, []drivers.Filter) ([]drivers.Missing, error) {
	return nil, nil
}
func (s *polling) List(context.Context) error     { return nil }
func (s *polling) Close() error                   { s.Do(func() { close(s.end) }); <-s.done; return nil }
func (s *polling) Connection() *schema.Connection { return esx }
func (s *polling) Done() <-chan struct{}          { return s.done }
func (s *polling) Err() error                     { return nil }
func (s *polling) Resumed() bool                  { return false }
func (s *polling) Sure() time.Time                { return time.Time{} }

var esx = &schema.Connection{Name: "esx01", Source: "esx://esx01.example.com/"}

// lines is a sink that prints what it gets, and stops after three events.
type lines struct {
	printed int
	stop    func()
}

func (l *lines) Deliver(_ context.Context, events []schema.Event, outcome func(int, error)) error {
	for i := range events {
		_, event, detail := schema.SubjectTokens(&events[i])
		fmt.Println(events[i].Object.Name, event, detail, events[i].Synthetic)
		outcome(i, nil)
	}
	if l.printed += len(events); l.printed == 3 {
		l.stop()
	}
	return nil
}

// A whole driver for a hypervisor that has to be polled. The bridge makes events of what
// differs from one listing to the next.
func Example_polling() {
	web := schema.ListedDomain{Object: schema.Object{UUID: schema.UUID{1}, Name: "web-1", ID: 7}, State: 1}
	db := schema.ListedDomain{Object: schema.Object{UUID: schema.UUID{2}, Name: "db-1", ID: -1}, State: 5}
	asked := 0
	driver := poller{func() *schema.Listing {
		if asked++; asked == 5 {
			web.Object.ID, web.State = -1, 5 // it was shut down since
		}
		return &schema.Listing{
			Connection: esx, Received: time.Now().UTC(), Complete: true, Domains: []schema.ListedDomain{web, db},
		}
	}}

	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	dir, err1 := os.MkdirTemp("", "virtcast")
	j, err2 := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	r := registry.New(registry.Options{Record: b.Record, Position: b.Position})
	_, err = r.RegisterAny(registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}})
	err = errors.Join(err, b.AddSink("lines", &lines{stop: stop}),
		r.AddConnection(registry.Connection{Name: esx.Name, Driver: driver}))
	if err != nil {
		log.Fatal(err)
	}
	err = virtcast.Run(ctx, r, b)
	if err := errors.Join(err, j.Close(), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// web-1 started booted true
	// db-1 defined added true
	// web-1 stopped unknown--1 true
}

// unknownKindError is the error of a driver for a kind that its hypervisor does not have.
type unknownKindError struct{}

func (unknownKindError) Error() string   { return "this hypervisor has no such events" }
func (unknownKindError) Permanent() bool { return true }

// The registry asks again for what is missing, unless the error is permanent.
func ExamplePermanent() {
	for _, missing := range []drivers.Missing{
		{Filter: drivers.Filter{Kind: schema.KindLifecycle}, Err: errors.New("cannot allocate memory")},
		{Filter: drivers.Filter{Kind: schema.KindOf(schema.FamilyDomain, 99)}, Err: fmt.Errorf("register: %w", unknownKindError{})},
	} {
		fmt.Println(missing.Filter.Kind, drivers.Permanent(missing.Err))
	}
	// Output:
	// lifecycle false
	// unknown-99 true
}
