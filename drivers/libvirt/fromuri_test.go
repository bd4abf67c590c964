package libvirt_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// TestNewFromURI watches a daemon on the socket that the URI names.
func TestNewFromURI(t *testing.T) {
	server := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	defer server.Close()
	socket := filepath.Join(t.TempDir(), "sock")
	if _, err := server.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	driver, err := libvirt.NewFromURI("kvm01", "test+unix:///default?socket="+socket)
	if err != nil {
		t.Fatal(err)
	}
	sources := make(chan string, 1)
	if err := firstEvent(t.Context(), server, driver, sources); err != nil {
		t.Fatal(err)
	}
	if got, want := <-sources, "test://kvm01.example.com/default"; got != want {
		t.Errorf("source %q, want %q", got, want)
	}
}

// firstEvent watches with a driver until an event has come, and sends its source.
func firstEvent(ctx context.Context, server *libvirttest.Server, driver *libvirt.Driver, sources chan<- string) error {
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	r := registry.New(registry.Options{})
	err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver})
	_, err2 := r.RegisterAny(registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle}, Sinks: []string{},
		Callback: registry.ObserverFunc(func(o schema.Observation) {
			sources <- o.Connection.Source
			stop()
		}),
	})
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for !r.Stats()[0].Up && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	_, err = server.Define("web-1", schema.UUID{1})
	return errors.Join(err, <-ended)
}

// TestNewFromURIRefuses holds that a URI that cannot be dialled is refused before
// anything is opened.
func TestNewFromURIRefuses(t *testing.T) {
	for _, uri := range []string{"qemu+carrier://kvm01/system", "qemu+unix://kvm01/system", "system"} {
		if driver, err := libvirt.NewFromURI("kvm01", uri); err == nil || driver != nil {
			t.Errorf("NewFromURI(%q) = %v, %v, want an error", uri, driver, err)
		}
	}
}

// TestNewFromURIAdjust holds that what follows from the URI can be replaced.
func TestNewFromURIAdjust(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	dialled := false
	driver, err := libvirt.NewFromURI("kvm01", "qemu+tls://kvm01.example.com/system", func(c *libvirt.Config, o *libvirt.Options) {
		if c.Name != "kvm01" || c.URI != "qemu:///system" || c.Host != "kvm01.example.com" || o.SASL == nil {
			t.Errorf("config %+v, options %+v", *c, *o)
		}
		o.Dial = func(context.Context) (net.Conn, error) {
			dialled = true
			stop()
			return nil, errors.New("no")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(ctx); err != nil || !dialled {
		t.Errorf("Run = %v, dialled %t, want the dialler that was put in", err, dialled)
	}
}
