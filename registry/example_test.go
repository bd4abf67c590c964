package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// Watch all domains of a hypervisor. A real one has a driver from libvirt.NewFromURI.
func Example() {
	host := libvirttest.NewServer(libvirttest.Options{})
	defer host.Close()

	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverOf("kvm01", host)}); err != nil {
		log.Fatal(err)
	}
	_, err := r.RegisterAny(registry.Registration{
		Kinds:    []schema.Kind{schema.KindLifecycle},
		Sinks:    []string{}, // none, not even those of a bridge
		Callback: registry.ObserverFunc(printEvent),
	})
	if err != nil {
		log.Fatal(err)
	}
	watch(r, 3, func() error {
		web, err := host.Define("web-1", schema.UUID{1})
		return errors.Join(err, web.Start(), web.Suspend())
	})
	// Output:
	// kvm01 web-1 defined added
	// kvm01 web-1 started booted
	// kvm01 web-1 suspended paused
}

// Watch one domain. It need not exist yet: the registration holds for the UUID.
func ExampleRegistry_RegisterAny_oneDomain() {
	host := libvirttest.NewServer(libvirttest.Options{})
	defer host.Close()
	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverOf("kvm01", host)}); err != nil {
		log.Fatal(err)
	}

	uuid := schema.UUID{2}
	_, err := r.RegisterAny(registry.Registration{
		Domain:   &uuid,
		Kinds:    []schema.Kind{schema.KindLifecycle},
		Sinks:    []string{},
		Callback: registry.ObserverFunc(printEvent),
	})
	if err != nil {
		log.Fatal(err)
	}
	watch(r, 2, func() error {
		_, err1 := host.Define("web-1", schema.UUID{1})
		db, err2 := host.Define("db-1", uuid)
		return errors.Join(err1, err2, db.Start())
	})
	// Output:
	// kvm01 db-1 defined added
	// kvm01 db-1 started booted
}

// One registration for several hypervisors, chosen by their names.
func ExampleRegistry_RegisterAny_patterns() {
	kvm, xen := libvirttest.NewServer(libvirttest.Options{}), libvirttest.NewServer(libvirttest.Options{})
	defer kvm.Close()
	defer xen.Close()
	r := registry.New(registry.Options{})
	for name, host := range map[string]*libvirttest.Server{"kvm01": kvm, "xen01": xen} {
		if err := r.AddConnection(registry.Connection{Name: name, Driver: driverOf(name, host)}); err != nil {
			log.Fatal(err)
		}
	}
	_, err := r.RegisterAny(registry.Registration{
		Connections: []string{"kvm*"}, // also those that are added later
		Kinds:       []schema.Kind{schema.KindLifecycle},
		Sinks:       []string{},
		Callback:    registry.ObserverFunc(printEvent),
	})
	if err != nil {
		log.Fatal(err)
	}
	watch(r, 1, func() error {
		_, err1 := xen.Define("web-1", schema.UUID{1})
		_, err2 := kvm.Define("web-2", schema.UUID{2})
		return errors.Join(err1, err2)
	})
	// Output: kvm01 web-2 defined added
}

// End a registration. Release is called once, after the last call of the callback.
func ExampleRegistry_DeregisterAny() {
	r := registry.New(registry.Options{})
	id, err := r.RegisterAny(registry.Registration{
		Kinds:    []schema.Kind{schema.KindLifecycle},
		Sinks:    []string{},
		Callback: registry.ObserverFunc(printEvent),
		Release:  func() { fmt.Println("released") },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("registration", id)
	if err := r.DeregisterAny(id); err != nil {
		log.Fatal(err)
	}
	if err := r.DeregisterAny(id); errors.Is(err, registry.ErrNotRegistered) {
		fmt.Println(err)
	}
	// Output:
	// registration 0
	// released
	// deregister 0: not registered
}

// counter is an observer that can be compared.
type counter struct{ events int }

// Observe implements registry.Observer.
func (c *counter) Observe(schema.Observation) { c.events++ }

// The same observer with the same filter is refused, as libvirt refuses a callback that
// it tracks already.
func ExampleObserver() {
	r := registry.New(registry.Options{})
	registration := registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle}, Sinks: []string{}, Callback: new(counter),
	}
	_, first := r.RegisterAny(registration)
	_, second := r.RegisterAny(registration)
	fmt.Println(first)
	fmt.Println(second)
	// Output:
	// <nil>
	// register: event callback already tracked, as registration 0
}

// A connection was not watched for a time: callbacks get the gap before anything newer.
// What happened meanwhile is unknown.
func ExampleRegistration_gap() {
	host := libvirttest.NewServer(libvirttest.Options{})
	defer host.Close()
	r := registry.New(registry.Options{Backoff: registry.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond}})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverOf("kvm01", host)}); err != nil {
		log.Fatal(err)
	}
	seen := make(chan struct{}, 8)
	_, err := r.RegisterAny(registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle}, Sinks: []string{},
		Callback: registry.ObserverFunc(func(o schema.Observation) {
			if o.Kind == schema.KindGap {
				fmt.Println(o.Connection.Name, "gap", o.Gap.Reason)
			} else {
				printEvent(o)
			}
			seen <- struct{}{}
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	watch(r, 2, func() error {
		_, err1 := host.Define("web-1", schema.UUID{1})
		<-seen
		host.Cut() // the daemon restarts, or the network fails
		<-seen
		_, err2 := host.Define("web-2", schema.UUID{2})
		return errors.Join(err1, err2)
	})
	// Output:
	// kvm01 web-1 defined added
	// kvm01 gap disconnected
	// kvm01 web-2 defined added
}

// Every observation is accounted for, at any moment.
func ExampleRegistry_Stats() {
	host := libvirttest.NewServer(libvirttest.Options{})
	defer host.Close()
	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driverOf("kvm01", host)}); err != nil {
		log.Fatal(err)
	}
	_, err := r.RegisterAny(registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle}, Sinks: []string{}, Callback: new(counter),
	})
	if err != nil {
		log.Fatal(err)
	}
	watch(r, 1, func() error {
		_, err := host.Define("web-1", schema.UUID{1})
		return err
	})
	s := r.Stats()[0]
	fmt.Println(s.Received, s.Observed, s.Lost)
	fmt.Println(s.Received == s.Recorded+s.Observed+s.Unmatched+s.Queued+s.Lost)
	// Output:
	// 1 1 0
	// true
}

// Which events would go to a sink, as the registrations are.
func ExampleRegistry_SendsTo() {
	r := registry.New(registry.Options{})
	uuid := schema.UUID{1}
	_, err := r.RegisterAny(registry.Registration{
		Connections: []string{"kvm*"}, Domain: &uuid, Kinds: []schema.Kind{schema.KindLifecycle}, Sinks: []string{"bus"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.SendsTo("bus", "kvm01", uuid), r.SendsTo("bus", "xen01", uuid), r.SendsTo("log", "kvm01", uuid))
	// Output: true false false
}

func printEvent(o schema.Observation) {
	fmt.Println(o.Connection.Name, o.Object.Name, schema.EventName(o.Kind, o.Event), schema.DetailName(o.Kind, o.Event, o.Detail))
}

// driverOf returns a driver that reaches a hypervisor in this process.
func driverOf(name string, host *libvirttest.Server) drivers.Driver {
	driver, err := libvirt.NewFromURI(name, host.URI(), func(_ *libvirt.Config, options *libvirt.Options) {
		options.Dial = func(ctx context.Context) (net.Conn, error) { return host.DialContext(ctx, "", "") }
	})
	if err != nil {
		log.Fatal(err)
	}
	return driver
}

// watch runs a registry until do has returned and n events have been seen.
func watch(r *registry.Registry, n uint64, do func() error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	wait := func(until func([]registry.Stats) bool) {
		for !until(r.Stats()) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	wait(func(all []registry.Stats) bool {
		for _, s := range all {
			if !s.Up {
				return false
			}
		}
		return true
	})
	err := do()
	wait(func(all []registry.Stats) bool {
		var seen uint64
		for _, s := range all {
			seen += s.Recorded + s.Observed
		}
		return seen >= n
	})
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		log.Fatal(err)
	}
}
