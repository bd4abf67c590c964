package nats

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/sinks/sinktest"
)

// faultEvents is how many events flow through each fault test. 50,000 take minutes with
// the race detector.
var faultEvents = flag.Int("fault-events", 5_000, "events in each fault test")

// maxFaults bounds the faults of a test, so that a slow machine comes to an end between
// them.
const maxFaults = 60

// runFault delivers events while fault is called again and again, and checks what is
// stored.
func runFault(t *testing.T, cfg Config, readURL string, fault func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cfg.AckTimeout = 3 * time.Second
	sink := newSink(t, cfg)
	source := sinktest.NewSource(10, 200)
	events := source.Take(*faultEvents)
	for i := 1000; i < len(events); i += 1000 { // Some are about a connection as a whole.
		events[i] = source.Gap(i / 1000 % 10)
	}
	type result struct {
		retries int
		err     error
	}
	done := make(chan result, 1)
	begin := time.Now()
	go func() {
		retries, err := sinktest.Pump(ctx, sink, events, 500)
		done <- result{retries, err}
	}()
	faults := 0
	var r result
	for waiting := true; waiting; {
		select {
		case r = <-done:
			waiting = false
		default:
			if faults == maxFaults {
				r, waiting = <-done, false
				break
			}
			fault()
			faults++
		}
	}
	took := time.Since(begin)
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	report := sinktest.Check(events, readStream(t, readURL))
	t.Logf("%d events in %v, %d faults, %d retries: %d inversions, %d duplicates, %d lost",
		len(events), took.Round(time.Millisecond), faults, r.retries, report.Inversions, report.Duplicates, report.Lost)
	if !report.OK() {
		t.Fatalf("stored events: %+v", report)
	}
}

// pause waits for a random time around a mean.
func pause(mean time.Duration) { time.Sleep(mean/2 + rand.N(mean)) }

func TestFaults(t *testing.T) {
	for _, batch := range []bool{true, false} {
		t.Run(fmt.Sprintf("cut/batch=%t", batch), func(t *testing.T) {
			srv := startServer(t, nil)
			p := startProxy(t, srv.Addr().String())
			createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batch })
			runFault(t, Config{URL: p.url()}, srv.ClientURL(), func() {
				p.cutAfter(1 + rand.IntN(1_000_000))
				pause(50 * time.Millisecond)
			})
		})
		t.Run(fmt.Sprintf("restart/batch=%t", batch), func(t *testing.T) {
			srv := startServer(t, nil)
			createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batch })
			runFault(t, Config{URL: srv.ClientURL()}, srv.ClientURL(), func() {
				pause(200 * time.Millisecond)
				srv.restart(t)
			})
		})
	}
}

// TestLeaderChanges runs against a stream with three replicas whose leader steps down all
// the time, on top of cut connections.
func TestLeaderChanges(t *testing.T) {
	for _, batch := range []bool{true, false} {
		t.Run(fmt.Sprintf("batch=%t", batch), func(t *testing.T) {
			servers := startCluster(t, 3)
			nc := connectClient(t, servers[0].ClientURL())
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			createReplicated(t, js, batch)
			p := startProxy(t, servers[1].Addr().String())
			rounds := 0
			runFault(t, Config{URL: p.url()}, servers[0].ClientURL(), func() {
				pause(300 * time.Millisecond)
				if _, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN.VIRTCAST", nil, 2*time.Second); err != nil {
					t.Logf("step down: %v", err) // There may be no leader at the moment.
				}
				if rounds++; rounds%5 == 0 {
					p.cut()
				}
			})
		})
	}
}

func createReplicated(t *testing.T, js jetstream.JetStream, batch bool) {
	t.Helper()
	var err error
	for range 30 { // Nobody answers before the cluster has a leader.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: "VIRTCAST", Subjects: []string{"virt.>"}, Replicas: 3, AllowBatchPublish: batch,
		})
		cancel()
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("create stream: %v", err)
}

// startCluster starts n servers that form a JetStream cluster.
func startCluster(t *testing.T, n int, change ...func(*server.Options)) []*testServer {
	t.Helper()
	leaveOutOfQuick(t)
	var ports []int
	var routes []*url.URL
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var servers []*testServer
	for i := range n {
		s := &testServer{options: server.Options{
			Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
			JetStream: true, StoreDir: t.TempDir(), ServerName: fmt.Sprintf("s%d", i),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}}
		for _, f := range change {
			f(&s.options)
		}
		options := s.options
		srv, err := server.NewServer(&options)
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		s.Server = srv
		t.Cleanup(s.stop)
		servers = append(servers, s)
	}
	for _, s := range servers { // Ready only when there is a cluster.
		if !s.ReadyForConnections(20 * time.Second) {
			t.Fatal("the cluster is not ready after 20s")
		}
	}
	return servers
}
