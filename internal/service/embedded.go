package service

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/sinks/nats"
)

// EmbeddedOptions is what code injects into [NewEmbedded]. The zero value works.
type EmbeddedOptions struct {
	// Overrides are put over the defaults.
	Overrides config.Overrides
	// Demo asks for the simulated hypervisor, even if there is a libvirt.
	Demo bool
	// LogTo is where the log goes; nil is nowhere.
	LogTo io.Writer
	// Version and Sinks are as in [Options].
	Version string
	Sinks   []NamedSink
}

// Embedded is a service that needs no configuration: it watches the hypervisors of this
// machine, or a simulated one, and publishes to a NATS server in this process.
// Connections and sinks in the overrides replace these.
type Embedded struct {
	// Config is what the service runs with.
	Config  *config.Config
	service *Service
	demo    *demo       // nil: the connections are real
	server  *natsServer // nil: the overrides name sinks
}

// NewEmbedded finds out what to watch, starts the NATS server, and wires a service. Then
// call Run or Close.
func NewEmbedded(ctx context.Context, opts EmbeddedOptions) (*Embedded, error) {
	c, err := embeddedConfig(opts.Overrides)
	if err != nil {
		return nil, err
	}
	if opts.LogTo == nil {
		opts.LogTo = io.Discard
	}
	e := &Embedded{Config: c}
	if len(opts.Overrides.Connect) == 0 {
		if !opts.Demo {
			c.Connections = localConnections(ctx)
		}
		if len(c.Connections) == 0 {
			e.demo = newDemo()
			c.Connections = []config.Connection{e.demo.connection()}
		}
	}
	if err := e.start(opts); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// embeddedConfig is what the overrides are put over. The URL of the server is known only
// once it runs: until then its usual one stands for it, so that all else can be
// validated.
func embeddedConfig(o config.Overrides) (*config.Config, error) {
	c := &config.Config{
		DataDir: o.DataDir,
		Log:     config.Log{Level: "warn"},
		Sinks: []config.Sink{{Name: "nats", NATS: &nats.Config{
			URL: embeddedURL, Create: true, MaxBytes: embeddedStreamBytes,
		}}},
	}
	var err error
	if c.DataDir == "" {
		c.DataDir, err = config.DefaultDataDir()
	}
	return c, err
}

// start opens the journal before it starts the NATS server, whose directory is ours only
// then.
func (e *Embedded) start(opts EmbeddedOptions) error {
	if err := opts.Overrides.Apply(e.Config); err != nil {
		return err
	}
	log := e.Config.Log.Logger(opts.LogTo)
	j, err := OpenJournal(e.Config, log)
	if err != nil {
		return err
	}
	if !opts.Overrides.ReplacesSinks() {
		if err := e.startNATS(); err != nil {
			return errors.Join(err, j.Close())
		}
	}
	drivers := DriversByURI(log)
	if e.demo != nil {
		drivers = e.demo.drivers(log)
	}
	e.service, err = New(e.Config, Options{
		Logger: log, Version: opts.Version, Journal: j, Drivers: drivers, Sinks: opts.Sinks,
	})
	return err
}

func (e *Embedded) startNATS() error {
	var err error
	if e.server, err = startNATS(filepath.Join(e.Config.DataDir, "nats")); err != nil {
		return err
	}
	e.Config.Sinks[0].NATS.URL = e.server.url
	return writeEndpoint(e.server.url)
}

// Simulated reports whether the hypervisor is the simulated one.
func (e *Embedded) Simulated() bool { return e.demo != nil }

// Run watches and publishes until ctx ends, and closes everything.
func (e *Embedded) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if e.demo != nil {
		group.Go(func() error { return e.demo.run(ctx) })
	}
	group.Go(func() error { return e.service.Run(ctx) })
	err := group.Wait()
	e.service = nil // closed
	return errors.Join(err, e.Close())
}

// Close ends what NewEmbedded started. Run does it, too.
func (e *Embedded) Close() error {
	var err error
	if e.service != nil {
		err = e.service.Close()
	}
	if e.demo != nil {
		e.demo.close()
	}
	if e.server != nil {
		e.server.stop()
	}
	return err
}
