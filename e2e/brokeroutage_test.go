package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/lab"
)

// outageRate is in events per second.
const outageRate = 2000

// TestBrokerOutage kills the only Kafka broker and starts it again after a while: 15 s,
// or as long as
// [lab.SoakVariable] says. Meanwhile the reading of the hypervisor and NATS must not notice; afterwards
// Kafka must have everything, once and in order. The log says how fast it caught up.
func TestBrokerOutage(t *testing.T) {
	length := lab.Soak(t, 15*time.Second)
	lab.JavaClasses(t) // fetched before the clock runs
	kafka, nats := lab.Kafka(t, lab.KafkaOptions{}), lab.NATS(t, lab.NATSOptions{})
	source, uri := hypervisor(t, libvirttest.Options{Hostname: "kvm01.example.com"})
	metrics := freeAddr(t)
	s := setup{
		connections: []connection{{"kvm01", uri}},
		kafka:       kafka, topic: clusterTopic, partitions: clusterPartitions, metrics: metrics,
	}
	lab.Virtcast(t, s.config(nats.URL, t.TempDir()), lab.VirtcastOptions{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fire := make(chan libvirttest.FirehoseResult, 1)
	go func() {
		result, _ := source.Firehose(ctx, libvirttest.FirehoseOptions{Domains: clusterDomains, Rate: outageRate, Batch: 16})
		fire <- result
	}()
	awaitSink(t, metrics, "log", outageRate)

	kafka.Kill(t, 0)
	watch(t, metrics, length)
	behind := pendingOf(t, metrics, "log")
	kafka.Start(t, 0)
	begin := time.Now()
	lab.Eventually(t, max(lab.Patience, length), func() error {
		if n := pendingOf(t, metrics, "log"); n > outageRate {
			return fmt.Errorf("%.0f events wait for Kafka", n)
		}
		return nil
	})
	caught := time.Since(begin)
	stop()
	made := (<-fire).Events
	awaitSink(t, metrics, "log", made)
	awaitSink(t, metrics, "bus", made)
	perSecond := (behind + outageRate*caught.Seconds()) / caught.Seconds()
	t.Logf("%s without a broker: %.0f events waited, caught up in %s: %.0f events/s, %.0f times the rate of arrival",
		length, behind, caught.Round(time.Millisecond), perSecond, perSecond/outageRate)

	if behind < outageRate*length.Seconds()/2 {
		t.Errorf("only %.0f events waited during an outage of %s", behind, length)
	}
	report := judgeCluster(t, kafka, made)
	t.Log(report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}

// watch checks, until time is over, that events are read and recorded and that NATS has
// them soon.
func watch(t *testing.T, metrics string, length time.Duration) {
	t.Helper()
	var worst, deepest float64
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		got, err := scrape(t, metrics)
		if err != nil {
			t.Fatal(err)
		}
		if lost := got.sum("virtcast_registry_observations_lost_total"); lost > 0 {
			t.Fatalf("%.0f events are lost while Kafka is down", lost)
		}
		worst = max(worst, got[`virtcast_sink_pending{sink="bus"}`])
		deepest = max(deepest, got.sum("virtcast_registry_queue_depth"))
	}
	t.Logf("meanwhile at most %.0f events waited to be recorded and %.0f for NATS", deepest, worst)
	if bound := 5.0 * outageRate; worst > bound {
		t.Errorf("%.0f events waited for NATS, more than 5 s of them", worst)
	}
}

func pendingOf(t *testing.T, metrics, sink string) float64 {
	t.Helper()
	got, err := scrape(t, metrics)
	if err != nil {
		t.Fatal(err)
	}
	return got[fmt.Sprintf("virtcast_sink_pending{sink=%q}", sink)]
}

// awaitSink waits until a sink has acknowledged so many events.
func awaitSink(t *testing.T, metrics, sink string, events int) {
	t.Helper()
	lab.Eventually(t, 2*lab.Patience, func() error {
		got, err := scrape(t, metrics)
		if err != nil {
			return err
		}
		if n := got[fmt.Sprintf("virtcast_sink_delivered_total{sink=%q}", sink)]; n < float64(events) {
			return fmt.Errorf("%.0f of %d events are delivered to %s", n, events, sink)
		}
		return nil
	})
}
