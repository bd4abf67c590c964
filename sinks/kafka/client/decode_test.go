package client

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// largeAnswers are the answers that a busy sink gets most, with many partitions.
func largeAnswers(partitions int) []protocol.Message {
	topic := metadata.ResponseTopic{Name: "virt.events"}
	answer := produce.ResponseTopic{Topic: "virt.events"}
	for i := range int32(partitions) {
		topic.Partitions = append(topic.Partitions, metadata.ResponsePartition{
			PartitionIndex: i, LeaderID: i % 3, ReplicaNodes: []int32{0, 1, 2}, IsrNodes: []int32{0, 1, 2},
		})
		answer.Partitions = append(answer.Partitions, produce.ResponsePartition{Partition: i, BaseOffset: 12_345})
	}
	return []protocol.Message{
		&metadata.Response{ClusterID: "c", Topics: []metadata.ResponseTopic{topic}},
		&produce.Response{Topics: []produce.ResponseTopic{answer}},
	}
}

// kmsgAnswer returns franz-go's empty answer of the same kind.
func kmsgAnswer(key protocol.ApiKey, version int16) kmsg.Response {
	r := kmsg.ResponseForKey(int16(key))
	r.SetVersion(version)
	return r
}

// BenchmarkDecode compares the decoding of answers: kafka-go's decoder behind the check
// of every length, as it is used, and franz-go's kmsg, which checks as it decodes.
func BenchmarkDecode(b *testing.B) {
	for _, partitions := range []int{6, 1000} {
		for _, m := range largeAnswers(partitions) {
			key := m.ApiKey()
			version := key.MaxVersion()
			wire := encodeAnswer(b, version, 1, m)
			b.Run(fmt.Sprintf("%s/%d/frames", key, partitions), func(b *testing.B) {
				in := bytes.NewReader(nil)
				f := newFrames(in)
				b.ReportAllocs()
				for b.Loop() {
					in.Reset(wire)
					if _, err := f.read(key, version, 1, m); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s/%d/kmsg", key, partitions), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					body := bytes.Clone(wire[8:]) // what reading a frame costs at least
					if err := kmsgAnswer(key, version).ReadFrom(body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// Both decoders refuse an answer that is cut anywhere.
func TestDecodersAgreeOnCutAnswers(t *testing.T) {
	for _, m := range largeAnswers(3) {
		key := m.ApiKey()
		version := key.MaxVersion()
		body := encodeAnswer(t, version, 1, m)[8:]
		if err := kmsgAnswer(key, version).ReadFrom(body); err != nil {
			t.Errorf("%s: kmsg does not read what kafka-go writes: %v", key, err)
		}
		for cut := range body {
			if err := kmsgAnswer(key, version).ReadFrom(bytes.Clone(body[:cut])); err == nil {
				t.Errorf("%s: kmsg reads an answer that is cut to %d of %d bytes", key, cut, len(body))
			}
		}
	}
}
