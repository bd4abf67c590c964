package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// closeTimeout bounds how long a sink, or a client of the metrics, may take to say goodbye.
const closeTimeout = 5 * time.Second

// service is a wired virtcast: registry → bridge → sinks.
type service struct {
	config   *Config
	log      *slog.Logger
	journal  *journal.Journal
	bridge   *bridge.Bridge
	registry *registry.Registry
	sinks    []namedSink
	states   []namedSink // the stores of states, by the names of their sinks
	metrics  *prometheus.Registry
}

type namedSink struct {
	name string
	builtSink
}

// openJournal opens the journal of a data directory, and so makes sure that no
// other process uses it.
func openJournal(c *Config, log *slog.Logger) (*journal.Journal, error) {
	j, err := journal.Open(journalDir(c), journal.Options{
		MaxBytes: int64(c.Journal.MaxBytes),
		Logger:   log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the journal in %s: %w", c.DataDir, err)
	}
	return j, nil
}

// journalDir is where the journal of a configuration is.
func journalDir(c *Config) string { return filepath.Join(c.DataDir, "journal") }

// driverFactory gives a connection its driver.
type driverFactory func(ConnectionConfig) (drivers.Driver, error)

// newService wires everything to an open journal, which it owns from now on,
// also if it fails; it connects nothing. more are sinks beside the configured ones.
func newService(ctx context.Context, c *Config, log *slog.Logger, j *journal.Journal, drivers driverFactory, tools sinkTools, more ...namedSink) (*service, error) {
	s := &service{config: c, log: log, journal: j, metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	tools.registerer = s.metrics
	if err := s.wire(drivers, tools, more); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

func (s *service) wire(drivers driverFactory, tools sinkTools, more []namedSink) error {
	for i := range s.config.Sinks {
		name := s.config.Sinks[i].Name
		kind, err := s.config.Sinks[i].kind()
		if err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
		sink, err := kind.build(name, tools)
		if err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
		s.sinks = append(s.sinks, namedSink{name, sink})
		if !kind.keepsStates {
			continue
		}
		states, err := kind.buildStates(bridge.StateReader(name), tools)
		if err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
		s.states = append(s.states, namedSink{name, states})
	}
	s.sinks = append(s.sinks, more...)
	if err := s.dropFormerSinks(); err != nil {
		return err
	}
	var err error
	s.bridge, err = bridge.New(s.journal, bridge.Options{Logger: s.log, Registerer: s.metrics})
	if err != nil {
		return err
	}
	for _, sink := range s.sinks {
		if err := s.bridge.AddSink(sink.name, sink.builtSink); err != nil {
			return err
		}
	}
	for _, states := range s.states {
		err := s.bridge.AddState(states.name, states.builtSink, func(connection string, domain schema.UUID) bool {
			return s.registry.SendsTo(states.name, connection, domain)
		})
		if err != nil {
			return err
		}
	}
	s.registry = registry.New(registry.Options{
		Record:     s.record,
		Logger:     s.log,
		Registerer: s.metrics,
	})
	return s.register(drivers)
}

// record makes a batch durable. Its position is not: the bridge does not keep positions yet.
func (s *service) record(ctx context.Context, batch schema.MatchedBatch) error {
	if len(batch.Matched) == 0 {
		return nil
	}
	return s.bridge.Record(ctx, batch.Matched)
}

// dropFormerSinks forgets the cursors of sinks that are no longer configured:
// they would keep the journal from being trimmed for ever.
func (s *service) dropFormerSinks() error {
	for _, name := range s.journal.Readers() {
		if slices.ContainsFunc(s.sinks, func(n namedSink) bool { return n.name == name }) ||
			slices.ContainsFunc(s.states, func(n namedSink) bool { return bridge.StateReader(n.name) == name }) {
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

func (s *service) register(drivers driverFactory) error {
	for _, c := range s.config.Connections {
		driver, err := drivers(c)
		if err != nil {
			return fmt.Errorf("connection %s: %w", c.Name, err)
		}
		if err := s.registry.AddConnection(registry.Connection{Name: c.Name, Driver: driver}); err != nil {
			return err
		}
	}
	for i, r := range s.config.registrations() {
		if _, err := s.registry.RegisterAny(r); err != nil {
			return fmt.Errorf("registrations[%d]: %w", i, err)
		}
	}
	return nil
}

// registrations translates the configured registrations, or the default one.
func (c *Config) registrations() []registry.Registration {
	if len(c.Registrations) == 0 {
		return []registry.Registration{{Kinds: []schema.Kind{schema.KindLifecycle}}}
	}
	all := make([]registry.Registration, len(c.Registrations))
	for i, r := range c.Registrations {
		all[i] = registry.Registration{Connections: r.Connections, Kinds: r.kinds()}
		if len(r.Sinks) > 0 {
			all[i].Sinks = r.Sinks
		}
		if r.Domain != "" {
			uuid, _ := schema.ParseUUID(r.Domain) // validated
			all[i].Domain = &uuid
		}
	}
	return all
}

func (r RegistrationConfig) kinds() []schema.Kind {
	kinds := make([]schema.Kind, 0, len(r.Events))
	for _, name := range r.Events {
		if kind, ok := schema.ParseKind(name); ok {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		kinds = append(kinds, schema.KindLifecycle)
	}
	return kinds
}

// run watches and publishes until ctx ends. Shutdown has an order: the registry
// closes its sessions and records what it has read; then the bridge delivers what is in the
// journal, up to its drain timeout.
func (s *service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	delivering, stopDelivering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDelivering()
	group.Go(func() error { return s.bridge.Run(delivering) })
	group.Go(func() error {
		defer stopDelivering()
		return s.registry.Run(ctx)
	})
	group.Go(func() error { return s.serveControl(ctx) })
	if s.config.Metrics.Listen != "" {
		group.Go(func() error { return s.serveMetrics(ctx) })
	}
	return group.Wait()
}

// runAndClose runs until ctx ends and closes everything.
func (s *service) runAndClose(ctx context.Context) error {
	s.log.InfoContext(ctx, "virtcast runs", "version", versionLine(), "connections", len(s.config.Connections), "sinks", len(s.sinks), "data_dir", s.config.DataDir)
	err := errors.Join(s.run(ctx), s.close(ctx))
	if err == nil {
		s.log.InfoContext(ctx, "virtcast has stopped")
	}
	return err
}

// serveMetrics serves /metrics until ctx ends.
func (s *service) serveMetrics(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Metrics.Listen)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.log.InfoContext(ctx, "metrics are served", "url", "http://"+listener.Addr().String()+"/metrics")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	return s.serveHTTP(ctx, listener, mux)
}

// serveHTTP serves until ctx ends, and then until the requests under way are answered, for up to closeTimeout.
func (s *service) serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // Whoever is still connected has had his time.
		}
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	<-ended
	return nil
}

// close ends what newService opened, also after ctx has ended.
func (s *service) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var errs []error
	for _, sink := range slices.Concat(s.sinks, s.states) {
		if err := sink.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close sink %s: %w", sink.name, err))
		}
	}
	if err := s.journal.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close the journal: %w", err))
	}
	return errors.Join(errs...)
}
