package libvirt_test

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

// open opens a session with a hypervisor in this process. A real one has a driver from
// libvirt.NewFromURI.
func open(host *libvirttest.Server, out func(drivers.Batch)) drivers.Session {
	driver := libvirt.New(libvirt.Config{Name: "kvm01", URI: host.URI()}, libvirt.Options{
		Dial: func(context.Context) (net.Conn, error) { return host.Pipe(), nil },
	})
	session, err := driver.Open(context.Background(), nil, out)
	if err != nil {
		log.Fatal(err)
	}
	return session
}

// Watch one domain, without a registry.
func ExampleSession_Watch() {
	host := libvirttest.NewServer(libvirttest.Options{Empty: true})
	defer host.Close()
	events := make(chan string)
	session := open(host, func(b drivers.Batch) {
		for _, o := range b.Observations {
			events <- o.Object.Name + " " + schema.EventName(o.Kind, o.Event)
		}
	})
	uuid := schema.UUID{1}
	missing, err := session.Watch(context.Background(), []drivers.Filter{
		{Kind: schema.KindLifecycle, Domain: uuid},
		{Kind: schema.KindOf(schema.FamilyDomain, 99)},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range missing {
		fmt.Println("missing:", m.Filter.Kind, errors.Is(m.Err, libvirt.ErrUnsupported))
	}
	go func() {
		_, _ = host.Define("db-1", schema.UUID{2})
		_, _ = host.Define("web-1", uuid)
	}()
	fmt.Println(<-events)
	if err := session.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// missing: unknown-99 true
	// web-1 defined
}

// List the domains: the answer stands in the stream of the events.
func ExampleSession_List() {
	host := libvirttest.NewServer(libvirttest.Options{Empty: true})
	defer host.Close()
	web, err := host.Define("web-1", schema.UUID{1})
	if err := errors.Join(err, web.Start()); err != nil {
		log.Fatal(err)
	}
	session := open(host, func(b drivers.Batch) {
		for _, d := range b.Listing.Domains {
			fmt.Println(d.Name, "state", d.State)
		}
	})
	if err := session.List(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := session.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: web-1 state 1
}

// A driver from a URI, with a faster keepalive than libvirtd's own.
func ExampleNewFromURI() {
	driver, err := libvirt.NewFromURI("kvm01", "qemu+tls://kvm01.example.com/system", func(c *libvirt.Config, _ *libvirt.Options) {
		c.KeepaliveInterval = time.Second
	})
	if err != nil {
		log.Fatal(err)
	}
	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Stats()[0].Connection)
	// Output: kvm01
}
