package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/lab"
)

const (
	// leaderlessPartition has its only replica on a broker of its own; the others have
	// theirs on the other two.
	leaderlessPartition  = 5
	leaderlessAssignment = "1,2,1,2,1,3"
	leaderlessPartitions = 6
	// leaderlessRate is in events per second.
	leaderlessRate = 1000
	// leaderlessBehind is how far behind the other partitions may be, in seconds of
	// events.
	leaderlessBehind = 3.0
)

// TestPartitionWithoutLeader takes the only replica of one of six partitions away for 15
// s, or for the duration in [lab.SoakVariable]. Meanwhile the events of the other five
// must be delivered and acknowledged as they come. Afterwards the topic must have
// everything, once and in order.
func TestPartitionWithoutLeader(t *testing.T) {
	length := lab.Soak(t, 15*time.Second)
	lab.JavaClasses(t) // fetched before the clock runs
	// Three brokers, since each is a controller too: with one of two, nobody elects.
	cluster := lab.Kafka(t, lab.KafkaOptions{Brokers: 3})
	cluster.Tool(t, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", "@", "--create",
		"--topic", clusterTopic, "--replica-assignment", leaderlessAssignment)
	homes := clusterHomes(t, leaderlessPartitions)
	stuckDomains := 0
	for _, partition := range homes {
		if partition == leaderlessPartition {
			stuckDomains++
		}
	}
	stuckShare := float64(stuckDomains) / clusterDomains
	source, uri := hypervisor(t, libvirttest.Options{Hostname: "kvm01.example.com"})
	metrics := freeAddr(t)
	virtcast := lab.Virtcast(t, fmt.Sprintf(`
data_dir: %q
connections:
  - {name: kvm01, uri: %q}
sinks:
  - name: log
    kafka:
      brokers: [%s]
metrics: {listen: %q}
`, t.TempDir(), uri, strings.Join(cluster.Bootstrap(), ", "), metrics), lab.VirtcastOptions{})

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fire := make(chan libvirttest.FirehoseResult, 1)
	go func() {
		result, _ := source.Firehose(ctx, libvirttest.FirehoseOptions{Domains: clusterDomains, Rate: leaderlessRate, Batch: 16})
		fire <- result
	}()
	awaitDelivered(t, metrics, 2*leaderlessRate)

	before, err := scrape(t, metrics)
	if err != nil {
		t.Fatal(err)
	}
	cluster.Kill(t, 2)
	worst, after := 0.0, before
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if after, err = scrape(t, metrics); err != nil {
			t.Fatal(err)
		}
		grown := func(name string) float64 { return after.sum(name) - before.sum(name) }
		due := grown("virtcast_recorded_total") * (1 - stuckShare)
		worst = max(worst, due-grown("virtcast_sink_delivered_total"))
	}
	recorded := after.sum("virtcast_recorded_total") - before.sum("virtcast_recorded_total")
	delivered := after.sum("virtcast_sink_delivered_total") - before.sum("virtcast_sink_delivered_total")
	t.Logf("%s without a leader for partition %d, which has %d of %d domains: %.0f events recorded, %.0f delivered; "+
		"the other partitions were at most %.0f events behind", length, leaderlessPartition, stuckDomains, clusterDomains,
		recorded, delivered, worst)
	if recorded < leaderlessRate*length.Seconds()/2 {
		t.Errorf("only %.0f events were recorded meanwhile", recorded)
	}
	if worst > leaderlessBehind*leaderlessRate {
		t.Errorf("the other partitions were up to %.0f events behind, more than %.0f s of them", worst, leaderlessBehind)
	}
	if stuck := recorded - delivered; stuck < recorded*stuckShare/2 {
		t.Errorf("%.0f events have waited, so that the partition was not without a leader", stuck)
	}
	virtcast.AwaitLog(t, lab.Patience, fmt.Sprintf("partition %d of %s: LEADER_NOT_AVAILABLE", leaderlessPartition, clusterTopic))

	stop()
	made := (<-fire).Events
	cluster.Start(t, 2)
	awaitDelivered(t, metrics, made)
	report := judgePartitions(t, cluster, homes, made)
	t.Log(report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}
