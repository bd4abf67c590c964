package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/sinks/nats"
)

// probeTimeout bounds the look for a hypervisor on this machine.
const probeTimeout = 3 * time.Second

// localURIs are tried, in this order, where LIBVIRT_DEFAULT_URI says nothing.
var localURIs = []ConnectionConfig{
	{Name: "qemu", URI: "qemu:///system"},
	{Name: "xen", URI: "xen:///system"},
	{Name: "lxc", URI: "lxc:///system"},
	{Name: "session", URI: "qemu:///session"},
}

// runEmbedded runs without a configuration: the local libvirt or a simulated
// one, a NATS server of its own, lines on standard output.
func runEmbedded(ctx context.Context, flags runFlags, out, errOut io.Writer) (err error) {
	c := &Config{DataDir: flags.dataDir, Log: LogConfig{Level: "warn"}}
	if c.DataDir == "" {
		if c.DataDir, err = stateDir(); err != nil {
			return err
		}
	}
	hypervisor := chooseHypervisor(ctx, flags, c)
	// The sinks' URL is known only once the server runs: what can be wrong is
	// checked before, and the server starts when the journal is ours.
	c.Sinks = []SinkConfig{{Name: "nats", NATS: &nats.Config{URL: embeddedURL, Create: true, MaxBytes: embeddedStreamBytes}}}
	if err := flags.override(c); err != nil {
		return err
	}
	log := newLogger(c.Log, errOut)
	j, err := openJournal(c, log)
	if err != nil {
		return err
	}
	if len(flags.sinks()) == 0 {
		server, err := startNATS(filepath.Join(c.DataDir, "nats"))
		if err == nil {
			defer server.stop()
			c.Sinks[0].NATS.URL = server.url
			err = writeEndpoint(server.url)
		}
		if err != nil {
			return errors.Join(err, j.Close())
		}
	}
	s, err := newService(ctx, c, log, j, hypervisor.drivers(log), sinkTools{log: log},
		namedSink{"screen", &screen{newLineWriter(out)}})
	if err != nil {
		return err
	}
	if err := hypervisor.introduce(out, c, flags); err != nil {
		return errors.Join(err, s.close(ctx))
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return hypervisor.live(ctx) })
	group.Go(func() error { return s.runAndClose(ctx) })
	return group.Wait()
}

// hypervisor is what the embedded run watches: simulated is nil for real ones.
type hypervisor struct {
	simulated *libvirttest.Server
}

// chooseHypervisor finds what to watch and puts it into c.
func chooseHypervisor(ctx context.Context, flags runFlags, c *Config) *hypervisor {
	if len(flags.connect) > 0 {
		return &hypervisor{} // override puts the connections into c
	}
	if !flags.demo {
		c.Connections = probeLocal(ctx)
	}
	if len(c.Connections) > 0 {
		return &hypervisor{}
	}
	c.Connections = []ConnectionConfig{{Name: "demo", URI: "test:///default"}}
	return &hypervisor{simulated: libvirttest.NewServer(libvirttest.Options{Hostname: "demo.localdomain"})}
}

// probeLocal returns the hypervisors that answer on this machine.
func probeLocal(ctx context.Context) []ConnectionConfig {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	candidates := localURIs
	if uri := os.Getenv("LIBVIRT_DEFAULT_URI"); uri != "" {
		candidates = []ConnectionConfig{{Name: "local", URI: uri}}
	}
	var found []ConnectionConfig
	driverOf := libvirtDrivers(slog.New(slog.DiscardHandler))
	for _, candidate := range candidates {
		if candidate.Name == "session" && os.Geteuid() == 0 {
			continue // For root libvirt has one daemon: its session is what the system has already.
		}
		driver, err := driverOf(candidate)
		if err != nil {
			continue
		}
		session, err := driver.Open(ctx, nil, func(drivers.Batch) {})
		if err != nil {
			continue
		}
		found = append(found, candidate)
		_ = session.Close() // it was only a look
	}
	return found
}

// drivers returns the factory for the connections that chooseHypervisor chose.
func (h *hypervisor) drivers(log *slog.Logger) driverFactory {
	if h.simulated == nil {
		return libvirtDrivers(log)
	}
	return func(c ConnectionConfig) (drivers.Driver, error) {
		return libvirt.New(
			libvirt.Config{Name: c.Name, URI: c.URI},
			libvirt.Options{
				Dial: func(ctx context.Context) (net.Conn, error) { return h.simulated.DialContext(ctx, "", "") },
				Log:  log,
			},
		), nil
	}
}

// live plays the simulated hypervisor's domains until ctx ends.
func (h *hypervisor) live(ctx context.Context) error {
	if h.simulated == nil {
		return nil
	}
	defer h.simulated.Close()
	return h.simulated.Scenario(ctx, libvirttest.ScenarioOptions{Seed: uint64(time.Now().UnixNano())})
}

// introduce says what was chosen and how to subscribe.
func (h *hypervisor) introduce(out io.Writer, c *Config, flags runFlags) error {
	var watches string
	for _, conn := range c.Connections {
		watches += fmt.Sprintf("  watches   %s (%s)\n", conn.URI, conn.Name)
	}
	hint := "  start, suspend or stop a domain (virsh), and its events appear below\n"
	if h.simulated != nil {
		watches = "  watches   a simulated hypervisor: no libvirt answers on this machine (or --demo was given)\n"
		hint = ""
	}
	_, err := fmt.Fprintf(out, `%s, without a configuration
%s  publishes %s
  subscribe %s
  keeps     its journal and the stream in %s
  stop with Ctrl-C
%s
`, versionLine(), watches, c.publishesTo(), flags.subscribe(), c.DataDir, hint)
	return err
}

// subscribe says how to see what is published.
func (f runFlags) subscribe() string {
	var commands []string
	if f.natsURL != "" {
		commands = append(commands, "virtcast tail --nats "+f.natsURL)
	}
	if len(f.kafka) > 0 {
		commands = append(commands, "virtcast tail --kafka "+strings.Join(f.kafka, ","))
	}
	if len(commands) == 0 {
		return "virtcast tail        (from the source: go run ./cmd/virtcast tail)"
	}
	return strings.Join(commands, "; ")
}

// stateDir is where the embedded run keeps its data: $XDG_STATE_HOME/virtcast, by
// default ~/.local/state/virtcast.
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "virtcast"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the data (or give --data-dir): %w", err)
	}
	return filepath.Join(home, ".local", "state", "virtcast"), nil
}

// endpointFile holds the URL of the embedded NATS server that runs, for tail.
func endpointFile() (string, error) {
	dir, err := stateDir()
	return filepath.Join(dir, "nats.url"), err
}

func writeEndpoint(url string) error {
	name, err := endpointFile()
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(url+"\n"), 0o600)); err != nil {
		return fmt.Errorf("tell tail where the NATS server is: %w", err)
	}
	return nil
}
