package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	stateBucket = "virt-domains"
	stateTopic  = "virt.domains"
)

// natsBus reads a stream, and the bucket beside it.
func natsBus(t *testing.T, url string) bus {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	read := func(t *testing.T, stream string, from jetstream.DeliverPolicy) follower {
		t.Helper()
		consumer, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{DeliverPolicy: from})
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, handle func(arrival)) error {
			messages, err := consumer.Messages()
			if err != nil {
				return err
			}
			defer messages.Stop()
			for {
				m, err := messages.Next(jetstream.NextContext(ctx))
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return fmt.Errorf("read %s: %w", stream, err)
				}
				attributes := map[string]string{}
				for name, values := range m.Headers() {
					if attribute, ok := strings.CutPrefix(name, "ce-"); ok {
						attributes[attribute] = values[0]
					}
				}
				a, err := newArrival(m.Headers().Get("Content-Type"), attributes, m.Data())
				if err != nil {
					return err
				}
				handle(a)
			}
		}
	}
	return bus{
		name: "nats",
		events: func(t *testing.T, all bool) follower {
			t.Helper()
			if all {
				return read(t, streamName, jetstream.DeliverAllPolicy)
			}
			return read(t, streamName, jetstream.DeliverNewPolicy)
		},
		states: func(t *testing.T) follower {
			t.Helper()
			return read(t, "KV_"+stateBucket, jetstream.DeliverLastPerSubjectPolicy)
		},
	}
}

// kafkaBus reads a topic, and the topic of states beside it.
func kafkaBus(brokers []string, topic string) bus {
	read := func(t *testing.T, where ...kgo.Opt) follower {
		t.Helper()
		client, err := kgo.NewClient(append(where, kgo.SeedBrokers(brokers...), kgo.FetchMaxWait(quiet))...)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, handle func(arrival)) error {
			defer client.Close()
			for {
				fetches := client.PollFetches(ctx)
				if ctx.Err() != nil {
					return nil
				}
				if err := fetches.Err(); err != nil {
					return err
				}
				for _, r := range fetches.Records() {
					contentType, attributes := "", map[string]string{}
					for _, h := range r.Headers {
						if h.Key == "content-type" {
							contentType = string(h.Value)
						}
						if attribute, ok := strings.CutPrefix(h.Key, "ce_"); ok {
							attributes[attribute] = string(h.Value)
						}
					}
					a, err := newArrival(contentType, attributes, r.Value)
					if err != nil {
						return err
					}
					handle(a)
				}
			}
		}
	}
	fromStart := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	return bus{
		name: "kafka",
		events: func(t *testing.T, all bool) follower {
			t.Helper()
			if all {
				return read(t, kgo.ConsumeTopics(topic), fromStart)
			}
			ends := map[int32]kgo.Offset{}
			for partition, end := range topicEnds(t, brokers, topic) {
				ends[partition] = kgo.NewOffset().At(end)
			}
			return read(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: ends}))
		},
		states: func(t *testing.T) follower {
			t.Helper()
			return read(t, kgo.ConsumeTopics(stateTopic), fromStart)
		},
	}
}

// topicEnds returns the offset after the last record of each partition.
func topicEnds(t *testing.T, brokers []string, topic string) map[int32]int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ask := kmsg.NewPtrMetadataRequest()
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = kmsg.StringPtr(topic)
	ask.Topics = append(ask.Topics, name)
	found, err := ask.RequestWith(t.Context(), client)
	if err != nil || len(found.Topics) != 1 {
		t.Fatalf("metadata of %s: %v", topic, err)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for _, p := range found.Topics[0].Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, -1
		of.Partitions = append(of.Partitions, rp)
	}
	request.Topics = append(request.Topics, of)
	ends := map[int32]int64{}
	for _, shard := range client.RequestSharded(t.Context(), request) {
		answer, ok := shard.Resp.(*kmsg.ListOffsetsResponse)
		if !ok || shard.Err != nil {
			t.Fatal(errors.Join(errors.New("no offsets"), shard.Err))
		}
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				ends[p.Partition] = p.Offset
			}
		}
	}
	return ends
}
