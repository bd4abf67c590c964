package virtcast_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/virtcast/virtcast"
	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/jsonl"
)

// Watch a hypervisor with callbacks only: nothing is recorded, nothing is published. Put
// the URI of yours in the place of host.uri, such as qemu:///system.
func Example_callbacks() {
	host := startHost()
	defer host.close()

	driver, err := libvirt.NewFromURI("kvm01", host.uri)
	if err != nil {
		log.Fatal(err)
	}
	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}); err != nil {
		log.Fatal(err)
	}
	_, err = r.RegisterAny(registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle},
		Sinks: []string{}, // none
		Callback: registry.ObserverFunc(func(o schema.Observation) {
			fmt.Println(o.Object.Name, schema.EventName(o.Kind, o.Event), schema.DetailName(o.Kind, o.Event, o.Detail))
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := host.liveWhile(r, r.Run); err != nil {
		log.Fatal(err)
	}
	// Output:
	// web-1 defined added
	// web-1 started booted
	// web-1 stopped destroyed
}

// Bridge a hypervisor to a sink: each event is on disk before the sink gets it. The sinks
// in sinks/nats and sinks/kafka are made and added in the same way.
func Example_bridge() {
	host := startHost()
	defer host.close()

	driver, err1 := libvirt.NewFromURI("kvm01", host.uri)
	j, err2 := journal.Open(filepath.Join(host.dir, "journal"), journal.Options{})
	sink, err3 := jsonl.New(jsonl.Config{Path: filepath.Join(host.dir, "events.jsonl")})
	if err := errors.Join(err1, err2, err3); err != nil {
		log.Fatal(err)
	}
	b, err := bridge.New(j, bridge.Options{})
	if err != nil {
		log.Fatal(err)
	}
	r := registry.New(registry.Options{Record: b.Record, Position: b.Position})
	_, err = r.RegisterAny(registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}})
	err = errors.Join(err, b.AddSink("file", sink),
		r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}))
	if err != nil {
		log.Fatal(err)
	}
	err = host.liveWhile(r, func(ctx context.Context) error { return virtcast.Run(ctx, r, b) })
	if err := errors.Join(err, sink.Close(), j.Close()); err != nil {
		log.Fatal(err)
	}
	host.print("events.jsonl")
	// Output:
	// 1 org.libvirt.domain.lifecycle.defined.v1 web-1
	// 2 org.libvirt.domain.lifecycle.started.v1 web-1
	// 3 org.libvirt.domain.lifecycle.stopped.v1 web-1
}

// host is a simulated hypervisor for the examples: a libvirtd in this process, on a unix
// socket.
type host struct {
	dir, uri string
	server   *libvirttest.Server
}

func startHost() *host {
	dir, err := os.MkdirTemp("", "virtcast")
	if err != nil {
		log.Fatal(err)
	}
	socket := filepath.Join(dir, "libvirt-sock")
	server := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	if _, err := server.Listen("unix", socket); err != nil {
		log.Fatal(err)
	}
	return &host{dir, "test+unix:///default?socket=" + socket, server}
}

func (h *host) close() {
	h.server.Close()
	if err := os.RemoveAll(h.dir); err != nil {
		log.Fatal(err)
	}
}

// liveWhile runs run. When the registry has its callbacks, a domain lives and dies, and
// when its events have been counted, run is stopped.
func (h *host) liveWhile(r *registry.Registry, run func(context.Context) error) error {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	lived := make(chan error, 1)
	go func() {
		defer stop()
		lived <- h.live(ctx, r)
	}()
	return errors.Join(run(ctx), <-lived)
}

func (h *host) live(ctx context.Context, r *registry.Registry) error {
	wait := func(done func(registry.Stats) bool) {
		for !done(r.Stats()[0]) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	wait(func(s registry.Stats) bool { return s.Up })
	web, err := h.server.Define("web-1", schema.UUID{1})
	if err != nil {
		return err
	}
	if err := errors.Join(web.Start(), web.Destroy()); err != nil {
		return err
	}
	wait(func(s registry.Stats) bool { return s.Recorded+s.Observed == 3 })
	return nil
}

// print prints what a file of CloudEvents holds.
func (h *host) print(file string) {
	data, err := os.ReadFile(filepath.Join(h.dir, file))
	if err != nil {
		log.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		e, err := schema.Decode(line)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Sequence, e.Type(), e.Object.Name)
	}
}
