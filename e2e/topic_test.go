package e2e

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/virtcast/virtcast/e2e/lab"
)

// readTopic returns the first n records of a topic, in order in each partition, and fails
// the test if there are more or they do not come.
func readTopic(t *testing.T, brokers []string, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(quiet))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for deadline := time.Now().Add(lab.Patience); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 2*quiet)
		fetches := client.PollFetches(ctx)
		cancel()
		fetches.EachRecord(func(r *kgo.Record) { records = append(records, r) })
		switch {
		case len(records) > n:
			t.Fatalf("topic %s has %d records, want %d", topic, len(records), n)
		case len(records) == n && fetches.NumRecords() == 0:
			return records
		case time.Now().After(deadline):
			t.Fatalf("topic %s has %d records, want %d (%v)", topic, len(records), n, fetches.Err0())
		}
	}
}

// sameOnKafka checks that a topic holds the events of the stream: the same ids,
// attributes and data, to the byte, in the order of each key, which is the partitionkey.
func sameOnKafka(t *testing.T, messages []message, brokers []string, topic string) {
	t.Helper()
	onNATS, onKafka := map[string][]message{}, map[string][]message{}
	for _, m := range messages {
		key := extension(m, "partitionkey")
		onNATS[key] = append(onNATS[key], m)
	}
	for _, r := range readTopic(t, brokers, topic, len(messages)) {
		m, err := decodeRecord(r)
		if err != nil {
			t.Errorf("record %d of partition %d: %v", r.Offset, r.Partition, err)
		}
		if key := extension(m, "partitionkey"); key != string(r.Key) {
			t.Errorf("event %s has the key %q, want its partitionkey %q", m.ID(), r.Key, key)
		}
		onKafka[string(r.Key)] = append(onKafka[string(r.Key)], m)
	}
	for key, want := range onNATS {
		got := onKafka[key]
		if diff := cmp.Diff(ids(want), ids(got)); diff != "" {
			t.Errorf("ids of key %s (-NATS +Kafka):\n%s", key, diff)
			continue
		}
		for i := range want {
			if !bytes.Equal(want[i].Data(), got[i].Data()) {
				t.Errorf("event %s has the data\n%s on NATS and\n%s on Kafka", want[i].ID(), want[i].Data(), got[i].Data())
			}
			if diff := cmp.Diff(want[i].String(), got[i].String()); diff != "" {
				t.Errorf("event %s (-NATS +Kafka):\n%s", want[i].ID(), diff)
			}
		}
	}
}

func ids(messages []message) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = fmt.Sprintf("%s %s", m.Source(), m.ID())
	}
	return all
}
