package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast"
	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/internal/fault"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// Options is what code injects. The zero value works.
type Options struct {
	// Logger is nil for nowhere.
	Logger *slog.Logger
	// Version stands in the log.
	Version string
	// Journal is an open journal, which New owns from the call on, also if it fails; nil
	// means that New opens the one of the configuration's data directory.
	Journal *journal.Journal
	// Drivers makes the driver of each connection; nil means by the table of drivers.
	Drivers Drivers
	// Sinks are sinks beside the configured ones. The service closes them.
	Sinks []NamedSink
}

// Service is a wired virtcast. Make one with [New], and then call Run or Close.
type Service struct {
	config   *config.Config
	log      *slog.Logger
	version  string
	journal  *journal.Journal
	bridge   *bridge.Bridge
	registry *registry.Registry
	sinks    []attachedSink
	metrics  *prometheus.Registry
}

// attachedSink is a sink, and the state store beside it where one is configured.
type attachedSink struct {
	NamedSink
	store Sink // nil for none
}

// New wires a validated configuration. It connects and starts nothing.
func New(c *config.Config, opts Options) (*Service, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Drivers == nil {
		opts.Drivers = DriversByURI(opts.Logger)
	}
	if opts.Journal == nil {
		var err error
		if opts.Journal, err = OpenJournal(c, opts.Logger); err != nil {
			return nil, err
		}
	}
	s := &Service{
		config: c, log: opts.Logger, version: opts.Version,
		journal: opts.Journal, metrics: prometheus.NewRegistry(),
	}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := s.wire(opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenJournal opens the journal of a data directory, and so makes sure that no other
// process uses it.
func OpenJournal(c *config.Config, log *slog.Logger) (*journal.Journal, error) {
	j, err := journal.Open(journalDir(c), journal.Options{MaxBytes: c.Journal.Bytes(), Logger: log})
	if err != nil {
		return nil, &fault.Error{Op: "open the journal in " + c.DataDir, Hint: dataDirHints().For(err), Err: err}
	}
	return j, nil
}

// dataDirHints are what to do about a data directory that cannot be used.
func dataDirHints() fault.Hints {
	const cure = "let this user write to the directory, or choose another data_dir (--data-dir)"
	return fault.Hints{fault.FileDenied: cure, fault.FileMissing: cure, fault.NotAFile: cure, fault.ReadOnly: cure}
}

// journalDir is where the journal of a configuration is.
func journalDir(c *config.Config) string { return filepath.Join(c.DataDir, "journal") }

// wire makes the sinks first: a cursor must exist before anything is recorded, and those of
// former sinks are dropped before the bridge reads the journal.
func (s *Service) wire(opts Options) error {
	for i := range s.config.Sinks {
		if err := s.makeSink(&s.config.Sinks[i]); err != nil {
			return fmt.Errorf("sink %s: %w", s.config.Sinks[i].Name, err)
		}
	}
	for _, sink := range opts.Sinks {
		s.sinks = append(s.sinks, attachedSink{NamedSink: sink})
	}
	if err := s.dropFormerSinks(); err != nil {
		return err
	}
	var err error
	if s.bridge, err = bridge.New(s.journal, bridge.Options{Logger: s.log, Registerer: s.metrics}); err != nil {
		return err
	}
	s.registry = registry.New(registry.Options{
		Record: s.bridge.Record, Position: s.bridge.Position, Logger: s.log, Registerer: s.metrics,
	})
	for _, sink := range s.sinks {
		if err := s.attach(sink); err != nil {
			return err
		}
	}
	for _, c := range s.config.Connections {
		if err := s.addConnection(c, opts.Drivers); err != nil {
			return err
		}
	}
	for i, r := range registrations(s.config) {
		if _, err := s.registry.RegisterAny(r); err != nil {
			return fmt.Errorf("registrations[%d]: %w", i, err)
		}
	}
	return nil
}

// makeSink makes a configured sink and its state store.
func (s *Service) makeSink(c *config.Sink) error {
	kind, err := kindOf(c)
	if err != nil {
		return err
	}
	tools := sinkTools{log: s.log, registerer: s.metrics}
	sink, err := kind.build(c, tools.of(c.Name))
	if err != nil {
		return err
	}
	attached := attachedSink{NamedSink: NamedSink{c.Name, sink}}
	if kind.hasStore != nil && kind.hasStore(c) {
		store, storeErr := kind.buildStore(c, tools.of(bridge.StateReader(c.Name)))
		if err = storeErr; err == nil {
			attached.store = store
		}
	}
	s.sinks = append(s.sinks, attached) // also without its store: it must be closed
	return err
}

// attach gives a sink and its state store their pumps.
func (s *Service) attach(sink attachedSink) error {
	if err := s.bridge.AddSink(sink.Name, sink.Sink); err != nil {
		return err
	}
	if sink.store == nil {
		return nil
	}
	return s.bridge.AddStateStore(sink.Name, sink.store, func(connection string, domain schema.UUID) bool {
		return s.registry.SendsTo(sink.Name, connection, domain)
	})
}

// dropFormerSinks removes the cursors of sinks that are no longer configured: they would
// keep the journal from being trimmed for ever.
func (s *Service) dropFormerSinks() error {
	var configured []string
	for _, sink := range s.sinks {
		configured = append(configured, sink.Name)
		if sink.store != nil {
			configured = append(configured, bridge.StateReader(sink.Name))
		}
	}
	for _, name := range s.journal.Readers() {
		if slices.Contains(configured, name) {
			continue
		}
		pending, err := s.journal.Drop(name)
		if err != nil {
			return fmt.Errorf("drop the cursor of the former sink %s: %w", name, err)
		}
		s.log.Warn("a sink is no longer configured: its cursor is dropped, and what it had not yet delivered will not be",
			"sink", name, "pending", pending)
	}
	return nil
}

func (s *Service) addConnection(c config.Connection, drivers Drivers) error {
	driver, err := drivers(c)
	if err != nil {
		return fmt.Errorf("connection %s: %w", c.Name, err)
	}
	return s.registry.AddConnection(registry.Connection{Name: c.Name, Driver: driver})
}

// Registry returns the registry: for registrations and callbacks beside the configured
// ones.
func (s *Service) Registry() *registry.Registry { return s.registry }

// Connection returns what the connection of that name has done, and whether there is one.
func (s *Service) Connection(name string) (registry.Stats, bool) {
	all := s.registry.Stats()
	i := slices.IndexFunc(all, func(c registry.Stats) bool { return c.Connection == name })
	if i < 0 {
		return registry.Stats{}, false
	}
	return all[i], true
}

// Sink returns the sink of that name, and whether there is one.
func (s *Service) Sink(name string) (Sink, bool) {
	i := slices.IndexFunc(s.sinks, func(sink attachedSink) bool { return sink.Name == name })
	if i < 0 {
		return nil, false
	}
	return s.sinks[i].Sink, true
}

// Run watches and publishes until ctx ends, and closes everything. It may be called once.
func (s *Service) Run(ctx context.Context) error {
	s.log.InfoContext(ctx, "virtcast runs", "version", s.version,
		"connections", len(s.config.Connections), "sinks", len(s.sinks), "data_dir", s.config.DataDir)
	err := errors.Join(s.run(ctx), s.Close())
	if err == nil {
		s.log.InfoContext(ctx, "virtcast has stopped")
	}
	return err
}

func (s *Service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return virtcast.Run(ctx, s.registry, s.bridge) })
	group.Go(func() error { return s.serveControl(ctx) })
	if s.config.Metrics.Listen != "" {
		group.Go(func() error { return s.serveMetrics(ctx) })
	}
	return group.Wait()
}

// Close ends what New opened. Run does it, too: Close is for a service that does not run.
func (s *Service) Close() error {
	var errs []error
	for _, sink := range s.sinks {
		errs = append(errs, closeSink(sink.Name, sink.Sink), closeSink(bridge.StateReader(sink.Name), sink.store))
	}
	if err := s.journal.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close the journal: %w", err))
	}
	return errors.Join(errs...)
}
