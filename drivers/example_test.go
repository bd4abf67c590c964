package drivers_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// poller is the driver of a hypervisor that has no events and can only be asked: a timer
// and List. The bridge makes events of what differs from one listing to the next.
type poller struct{ ask func() *schema.Listing }

func (p poller) Open(ctx context.Context, _ schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &polling{stop: stop, lists: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for tick := (<-chan time.Time)(nil); ; tick = time.After(time.Minute) {
			select {
			case <-tick:
			case <-s.lists:
			case <-ctx.Done():
				return
			}
			out(drivers.Batch{Listing: p.ask()})
		}
	}()
	return s, nil
}

type polling struct {
	stop        func()
	lists, done chan struct{}
}

func (s *polling) List(context.Context) error {
	select {
	case s.lists <- struct{}{}:
		return nil
	case <-s.done:
		return errors.New("the session is over")
	}
}

func (s *polling) Watch(ctx context.Context, _ []drivers.Filter) ([]drivers.Missing, error) {
	return nil, s.List(ctx)
}
func (s *polling) Close() error                   { s.stop(); <-s.done; return nil }
func (s *polling) Connection() *schema.Connection { return &schema.Connection{Name: "esx01"} }
func (s *polling) Done() <-chan struct{}          { return s.done }
func (s *polling) Err() error                     { return nil }
func (s *polling) Resumed() bool                  { return false }
func (s *polling) Sure() time.Time                { return time.Time{} }

// A whole driver for a hypervisor that has to be polled.
func Example_polling() {
	var driver drivers.Driver = poller{func() *schema.Listing {
		return &schema.Listing{Complete: true, Domains: []schema.ListedDomain{
			{Object: schema.Object{UUID: schema.UUID{1}, Name: "web-1", ID: 7}, State: 1},
			{Object: schema.Object{UUID: schema.UUID{2}, Name: "db-1", ID: -1}, State: 5},
		}}
	}}
	listed := make(chan struct{}, 1)
	session, err := driver.Open(context.Background(), nil, func(b drivers.Batch) {
		for _, d := range b.Listing.Domains {
			fmt.Println(d.Name, d.State)
		}
		listed <- struct{}{}
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := session.Watch(context.Background(), nil); err != nil {
		log.Fatal(err)
	}
	<-listed
	fmt.Println(session.Close())
	// Output:
	// web-1 1
	// db-1 5
	// <nil>
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
