package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// stateSetup runs virtcast on hypervisors with both sinks and their state stores. It
// returns the buses to read, the address of the metrics, and the process.
func stateSetup(t *testing.T, connections ...connection) (buses []bus, metrics string, v *lab.VirtcastProcess) {
	t.Helper()
	server, kafka := lab.NATS(t, lab.NATSOptions{}), lab.Kafka(t, lab.KafkaOptions{})
	metrics = freeAddr(t)
	var config strings.Builder
	fmt.Fprintf(&config, "data_dir: %q\nlog: {level: debug, format: json}\nmetrics: {listen: %q}\nconnections:\n", t.TempDir(), metrics)
	names := make([]string, 0, len(connections))
	for _, c := range connections {
		fmt.Fprintf(&config, "  - {name: %s, uri: %q}\n", c.name, c.uri)
		names = append(names, c.name)
	}
	fmt.Fprintf(&config, `sinks:
  - name: bus
    nats: {url: %q, stream: %s, create: true, state_bucket: %s}
  - name: log
    kafka: {brokers: [%q], topic: virt.events, create: {partitions: 4}, state_topic: %s}
`, server.URL, streamName, stateBucket, kafka.Bootstrap()[0], stateTopic)
	v = lab.Virtcast(t, config.String(), lab.VirtcastOptions{})
	awaitWatching(t, v, 1, names...)
	return []bus{natsBus(t, server.URL), kafkaBus(kafka.Bootstrap(), "virt.events")}, metrics, v
}

// awaitStored waits until every recorded event is in the sinks and in the state stores.
func awaitStored(t *testing.T, metrics string) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		got, err := scrape(t, metrics)
		if err != nil {
			return err
		}
		if n := got.sum("virtcast_sink_pending"); n > 0 || got.sum("virtcast_recorded_total") == 0 {
			return fmt.Errorf("%.0f events are pending", n)
		}
		return nil
	})
}

func churnDomain(n int) (name string, uuid schema.UUID) {
	return fmt.Sprintf("vm-%d", n), schema.UUID{0: 0xc0, 6: 0x40, 8: 0x80, 15: byte(n)}
}

// churn defines, runs and removes domains at random until ctx ends. It returns the number
// of actions, without those that the hypervisor refused.
func churn(ctx context.Context, h *libvirttest.Server, domains int) (actions int) {
	for n := range domains {
		if _, err := h.Define(churnDomain(n)); err == nil {
			actions++
		}
	}
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		<-pace.C
		name, uuid := churnDomain(rand.IntN(domains))
		d, ok := h.Domain(uuid)
		var err error
		switch {
		case !ok && rand.IntN(2) == 0:
			_, err = h.Create(name, uuid)
		case !ok, rand.IntN(8) == 0:
			_, err = h.Define(name, uuid)
		default:
			actions := []func() error{d.Start, d.Start, d.StartPaused, d.Suspend, d.Resume, d.Shutdown, d.Destroy, d.Save, d.Kill, d.Undefine, d.Undefine}
			err = actions[rand.IntN(len(actions))]()
		}
		if err == nil {
			actions++
		}
	}
	return actions
}

// truth returns the domains of a hypervisor, without sequences.
func truth(h *libvirttest.Server) map[string]known {
	all := map[string]known{}
	for _, d := range h.Domains() {
		s := d.State()
		all[s.UUID.String()] = known{exists: true, state: schema.StateName(s.State), persistent: d.Persistent()}
	}
	return all
}

// unnumbered returns a world without sequences.
func unnumbered(world map[string]known) map[string]known {
	all := map[string]known{}
	for uuid, k := range world {
		all[uuid] = known{exists: true, state: k.state, persistent: k.persistent}
	}
	return all
}

// TestJoinLate lets readers join while domains come and go. Each reader subscribes to the
// events, then reads the store. At the end it must have no hole, and the same domains as
// a reader of all events and as the hypervisor. Every other reader sees the store as it
// was a while ago, so that holes do occur.
func TestJoinLate(t *testing.T) {
	const domains, joins = 40, 5
	h, uri := hypervisor(t, libvirttest.Options{Flavor: libvirttest.FlavorQEMU, Hostname: "kvm01.example.com"})
	buses, metrics, _ := stateSetup(t, connection{"host", uri})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	group, ctx := errgroup.WithContext(ctx)

	living, die := context.WithCancel(ctx)
	defer die()
	actions := make(chan int, 1)
	go func() { actions <- churn(living, h, domains) }()
	awaitStored(t, metrics) // now there are streams and topics

	type reader struct {
		*joiner
		name string
	}
	var readers []reader
	reference := map[string]*joiner{}
	for _, b := range buses {
		reference[b.name] = b.readAll(ctx, t, group)
	}
	for n := range joins {
		for _, b := range buses {
			time.Sleep(rand.N(700 * time.Millisecond))
			lag := time.Duration(n%2) * 200 * time.Millisecond
			readers = append(readers, reader{b.join(ctx, t, group, lag), fmt.Sprintf("%s reader %d, store %v behind", b.name, n, lag)})
		}
	}
	time.Sleep(rand.N(time.Second))
	die()
	t.Logf("%d actions", <-actions)
	awaitStored(t, metrics)

	want := truth(h)
	for _, b := range buses {
		lab.Eventually(t, lab.Patience, func() error {
			got, err := reference[b.name].world()
			if diff := cmp.Diff(want, unnumbered(got), cmp.AllowUnexported(known{})); diff != "" {
				return errors.Join(err, fmt.Errorf("a reader of all events on %s (-hypervisor +reader)\n%s", b.name, diff))
			}
			return err
		})
	}
	holes := 0
	for _, r := range readers {
		all, err := reference[strings.Fields(r.name)[0]].world()
		if err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, lab.Patience, func() error {
			got, err := r.world()
			if diff := cmp.Diff(all, got, cmp.AllowUnexported(known{})); diff != "" {
				return errors.Join(err, fmt.Errorf("%s (-reader of all events +it)\n%s", r.name, diff))
			}
			return err
		})
		t.Logf("%s: %d events waited behind holes, %d states were news", r.name, r.holes, r.states)
		holes += r.holes
	}
	if holes == 0 {
		t.Error("no event waited behind a hole: the recipe was not put to the test")
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestStatesSurviveKills kills virtcast with SIGKILL while its state stores are behind,
// again and again. No store goes back to an older state, and both end with the
// hypervisor's own states.
func TestStatesSurviveKills(t *testing.T) {
	const domains, kills = 40, 6
	h, uri := hypervisor(t, libvirttest.Options{Flavor: libvirttest.FlavorQEMU, Hostname: "kvm01.example.com"})
	buses, metrics, v := stateSetup(t, connection{"host", uri})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	var stores []*store
	for n := range kills {
		living, die := context.WithTimeout(ctx, 300*time.Millisecond)
		churn(living, h, domains)
		die()
		if stores == nil {
			awaitStored(t, metrics)
			for _, b := range buses {
				stores = append(stores, b.watch(ctx, t, group))
			}
			continue
		}
		// Events that occur while virtcast is down are lost: only recorded ones can be
		// compared.
		awaitRecorded(t, metrics)
		v.Kill9(t)
		v.Start(t)
		awaitWatching(t, v, n+1, "host")
	}
	for n := range domains {
		if _, err := h.Define(churnDomain(n)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{}
	for uuid, k := range truth(h) {
		want[uuid] = k.state + " on host"
	}
	awaitStored(t, metrics)
	for _, s := range stores {
		lab.Eventually(t, lab.Patience, func() error {
			if diff := cmp.Diff(want, s.places()); diff != "" {
				return fmt.Errorf("%s (-hypervisor +stored)\n%s", s.name, diff)
			}
			return nil
		})
		if s.back != nil {
			t.Error(s.back)
		}
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// awaitRecorded waits until virtcast has recorded every event that the hypervisor has
// sent.
func awaitRecorded(t *testing.T, metrics string) {
	t.Helper()
	last := -1.0
	lab.Eventually(t, lab.Patience, func() error {
		got, err := scrape(t, metrics)
		if err != nil {
			return err
		}
		recorded := got.sum("virtcast_recorded_total")
		if recorded != last {
			last = recorded
			time.Sleep(20 * time.Millisecond) // far more than one record takes
			return fmt.Errorf("%.0f events are recorded, and more may be", recorded)
		}
		return nil
	})
}
