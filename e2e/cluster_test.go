package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/checker"
	"github.com/virtcast/virtcast/e2e/lab"
)

const (
	clusterTopic      = "virt.events"
	clusterPartitions = 12
	clusterDomains    = 200
	// clusterRate is in events per second.
	clusterRate = 3000
)

// TestCluster brings events to three real brokers while they are killed and stopped at
// random. No event may be lost or be there twice, and each domain's events must be in
// order and in the partition that the official client chooses. The events come over
// libvirtd's protocol on a unix socket. The built binary publishes them, the official
// Java client reads them back, and a checker that shares no code with virtcast judges
// them. The test goes on for 45 s, or for the duration in [lab.SoakVariable].
func TestCluster(t *testing.T) {
	length := lab.Soak(t, 45*time.Second)
	lab.JavaClasses(t) // fetched before the clock runs
	cluster := lab.Kafka(t, lab.KafkaOptions{Brokers: 3, Config: []string{"unclean.leader.election.enable=false"}})
	source, uri := hypervisor(t, libvirttest.Options{Hostname: "kvm01.example.com"})
	metrics := freeAddr(t)
	lab.Virtcast(t, fmt.Sprintf(`
data_dir: %q
connections:
  - {name: kvm01, uri: %q}
sinks:
  - name: log
    kafka:
      brokers: [%s]
      compression: zstd
      create: {partitions: %d, replication: 3}
metrics: {listen: %q}
`, t.TempDir(), uri, strings.Join(cluster.Bootstrap(), ", "), clusterPartitions, metrics), lab.VirtcastOptions{})

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fire := make(chan libvirttest.FirehoseResult, 1)
	go func() {
		result, _ := source.Firehose(ctx, libvirttest.FirehoseOptions{Domains: clusterDomains, Rate: clusterRate, Batch: 64})
		fire <- result
	}()
	awaitDelivered(t, metrics, 1) // now there is a topic
	c := chaos{cluster: cluster, topic: clusterTopic, partitions: clusterPartitions}
	begin := time.Now()
	c.run(t, length)
	stop()
	made := <-fire
	if len(made.Clients) != 1 || made.Clients[0].First != 0 || made.Clients[0].Closed != "" {
		t.Fatalf("virtcast did not read all of what was made on one connection: %+v", made)
	}
	counted := awaitDelivered(t, metrics, made.Events)

	t.Logf("%s: %d events made; %d kills, %d pauses, %d times two brokers of three away, %d blows before the cluster was healed, %d elections",
		time.Since(begin).Round(time.Second), made.Events, c.kills, c.pauses, c.together, c.unhealed, elections(t, cluster))
	t.Logf("retries: %.0f deliveries, %.0f batches answered with an error, %.0f connections made; %.0f possible duplicates announced",
		counted.sum("virtcast_sink_retries_total"), counted.sum("virtcast_kafka_errors_total"), counted.sum("virtcast_kafka_connects_total"),
		counted.sum("virtcast_kafka_possible_duplicates_total"))
	for name, value := range counted {
		if strings.HasPrefix(name, "virtcast_kafka_errors_total") {
			t.Logf("%s %.0f", name, value)
		}
	}
	if counted.sum("virtcast_sink_retries_total")+counted.sum("virtcast_kafka_errors_total") == 0 {
		t.Error("virtcast has noticed nothing of what was done to the brokers")
	}
	report := judgeCluster(t, cluster, made.Events)
	t.Log(report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
}

// awaitDelivered waits until virtcast's metrics show that all replicas have acknowledged
// so many events, and that no event waits.
func awaitDelivered(t *testing.T, metrics string, events int) samples {
	t.Helper()
	var got samples
	lab.Eventually(t, 2*lab.Patience, func() (err error) {
		if got, err = scrape(t, metrics); err != nil {
			return err
		}
		if n := got.sum("virtcast_sink_delivered_total"); n < float64(events) {
			return fmt.Errorf("%.0f of %d events are delivered, %.0f recorded", n, events, got.sum("virtcast_recorded_total"))
		}
		return nil
	})
	return got
}

// judgeCluster reads the topic with the official client, and compares with what the
// firehose made.
func judgeCluster(t *testing.T, cluster *lab.KafkaCluster, events int) checker.Report {
	t.Helper()
	return judgePartitions(t, cluster, clusterHomes(t, clusterPartitions), events)
}

// clusterHomes returns the partition of each domain of the firehose, as the official client
// chooses it.
func clusterHomes(t *testing.T, partitions int) map[string]int {
	t.Helper()
	keys := make([]string, clusterDomains)
	for i := range keys {
		keys[i] = libvirttest.FirehoseDomain(i, 0).UUID.String()
	}
	return officialPartitions(t, keys, partitions)
}

// judgePartitions is judgeCluster for a topic in which domains have other partitions.
func judgePartitions(t *testing.T, cluster *lab.KafkaCluster, homes map[string]int, events int) checker.Report {
	t.Helper()
	keys := make([]string, clusterDomains)
	for i := range keys {
		keys[i] = libvirttest.FirehoseDomain(i, 0).UUID.String()
	}
	c := checker.New(func(key string) int { return homes[key] })
	for n := range events {
		i, k := n%clusterDomains, n/clusterDomains
		c.Sent(keys[i], fired(k))
	}
	read := lab.Java(t, "ReadTopic", strings.Join(cluster.Bootstrap(), ","), clusterTopic)
	var stderr strings.Builder
	read.Stderr = &stderr
	out, err := read.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadAll(out); err != nil {
		t.Errorf("read the topic: %v", err)
	}
	if err := read.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", read, err, &stderr)
	}
	return c.Report()
}

// fired is event number k of any of the firehose's domains, in the words that consumers
// read. The numbers are libvirt's.
func fired(k int) checker.Event {
	names := map[[2]int32][2]string{
		{2, 0}: {"started", "booted"},
		{3, 0}: {"suspended", "paused"},
		{4, 0}: {"resumed", "unpaused"},
		{5, 0}: {"stopped", "shutdown"},
	}
	event, detail := libvirttest.FirehoseEvent(k)
	name := names[[2]int32{event, detail}]
	return checker.Event{Event: name[0], Detail: name[1], ID: k + 1}
}

// officialPartitions asks the official client for the partitions of keys.
func officialPartitions(t *testing.T, keys []string, partitions int) map[string]int {
	t.Helper()
	ask := lab.Java(t, "Partitions", strconv.Itoa(partitions))
	ask.Stdin = strings.NewReader(strings.Join(keys, "\n") + "\n")
	answers := strings.Fields(lab.Output(t, ask))
	if len(answers) != len(keys) {
		t.Fatalf("%d partitions for %d keys", len(answers), len(keys))
	}
	homes := make(map[string]int, len(keys))
	for i, answer := range answers {
		n, err := strconv.Atoi(answer)
		if err != nil {
			t.Fatal(err)
		}
		homes[keys[i]] = n
	}
	return homes
}

// elections returns how many leaders the partitions have had after their first.
func elections(t *testing.T, cluster *lab.KafkaCluster) int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(clusterTopic)
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range answer.Topics[0].Partitions {
		n += int(p.LeaderEpoch)
	}
	return n
}
