package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// KafkaTopic is a topic to be created.
type KafkaTopic struct {
	Name string
	// Partitions and Replicas are 1 if they are 0.
	Partitions, Replicas int
	// Config are the topic's own settings, such as min.insync.replicas.
	Config map[string]string
}

// CreateTopic creates a topic and waits until each partition has a leader.
func (c *KafkaCluster) CreateTopic(t testing.TB, topic KafkaTopic) {
	t.Helper()
	request := kafka.TopicConfig{
		Topic: topic.Name, NumPartitions: max(topic.Partitions, 1), ReplicationFactor: max(topic.Replicas, 1),
	}
	for name, value := range topic.Config {
		request.ConfigEntries = append(request.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	err := c.admin(t.Context(), c.brokers, func(ctx context.Context, client *kafka.Client) error {
		response, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{request}})
		if err != nil {
			return err
		}
		return response.Errors[topic.Name]
	})
	if err != nil {
		t.Fatalf("lab: create topic %s: %v", topic.Name, err)
	}
	Eventually(t, Patience, func() error {
		partitions, err := c.partitions(t.Context(), topic.Name)
		if err == nil && len(partitions) != request.NumPartitions {
			err = fmt.Errorf("topic %s has %d partitions, want %d", topic.Name, len(partitions), request.NumPartitions)
		}
		for _, p := range partitions {
			if p.Leader.Host == "" {
				err = errors.Join(err, fmt.Errorf("partition %d of topic %s has no leader", p.ID, topic.Name))
			}
		}
		return err
	})
}

// Leader returns the index of the broker that leads a partition, as all other methods
// count brokers. It waits until the partition has a leader that runs.
func (c *KafkaCluster) Leader(t testing.TB, topic string, partition int) int {
	t.Helper()
	leader := -1
	Eventually(t, Patience, func() error {
		partitions, err := c.partitions(t.Context(), topic)
		if err != nil {
			return err
		}
		for _, p := range partitions {
			leader = slices.IndexFunc(c.brokers, func(b *kafkaBroker) bool { return b.node == p.Leader.ID })
			if p.ID == partition && leader >= 0 && c.brokers[leader].running() {
				return nil
			}
		}
		return fmt.Errorf("partition %d of topic %s has no leader", partition, topic)
	})
	return leader
}

// InSync returns the least number of replicas in sync among a topic's partitions.
func (c *KafkaCluster) InSync(t testing.TB, topic string) int {
	t.Helper()
	least := 0
	Eventually(t, Patience, func() error {
		partitions, err := c.partitions(t.Context(), topic)
		if err != nil {
			return err
		}
		least = len(c.brokers)
		for _, p := range partitions {
			least = min(least, len(p.Isr))
		}
		return nil
	})
	return least
}

// partitions asks any broker for a topic's partitions.
func (c *KafkaCluster) partitions(ctx context.Context, topic string) ([]kafka.Partition, error) {
	var partitions []kafka.Partition
	err := c.admin(ctx, c.brokers, func(ctx context.Context, client *kafka.Client) error {
		response, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			return err
		}
		partitions = response.Topics[0].Partitions
		return response.Topics[0].Error
	})
	return partitions, err
}

// serves returns nil if a broker runs, answers, and sees every other broker that runs.
func (c *KafkaCluster) serves(ctx context.Context, n int) error {
	b := c.brokers[n]
	if !b.running() {
		return &endedError{b.proc.err}
	}
	return b.ask(ctx, func(ctx context.Context, client *kafka.Client) error {
		response, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
		if err != nil {
			return err
		}
		seen := map[int]bool{}
		for _, broker := range response.Brokers {
			seen[broker.ID] = true
		}
		for _, other := range c.brokers {
			if other.running() && !seen[other.node] {
				return fmt.Errorf("broker %d does not see broker %d", b.node, other.node)
			}
		}
		return nil
	})
}

// admin calls do with a client of one broker after another until it returns nil. Brokers
// that have ended are left out; one that is paused costs a few seconds.
func (c *KafkaCluster) admin(ctx context.Context, brokers []*kafkaBroker, do func(context.Context, *kafka.Client) error) error {
	err := errors.New("no broker runs")
	for _, b := range brokers {
		if !b.running() {
			continue
		}
		if err = b.ask(ctx, do); err == nil {
			return nil
		}
	}
	return err
}

// ask calls do with a new client of a broker, which has no metadata in its cache.
func (b *kafkaBroker) ask(ctx context.Context, do func(context.Context, *kafka.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	transport := &kafka.Transport{DialTimeout: time.Second}
	defer transport.CloseIdleConnections()
	return do(ctx, &kafka.Client{Addr: kafka.TCP(b.internal), Transport: transport})
}
