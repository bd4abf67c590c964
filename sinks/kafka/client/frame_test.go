package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
)

// samples has an answer of each kind, with something in every list.
func samples() []protocol.Message {
	return []protocol.Message{
		&apiversions.Response{ApiKeys: []apiversions.ApiKeyResponse{{ApiKey: 0, MinVersion: 3, MaxVersion: 12}, {ApiKey: 3, MaxVersion: 13}}},
		&metadata.Response{
			ClusterID: "c", ControllerID: 1, Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "kafka1", Port: 9092, Rack: "r"}},
			Topics: []metadata.ResponseTopic{{Name: "virt.events", Partitions: []metadata.ResponsePartition{
				{PartitionIndex: 0, LeaderID: 1, ReplicaNodes: []int32{1, 2}, IsrNodes: []int32{1}, OfflineReplicas: []int32{2}},
			}}},
		},
		&produce.Response{Topics: []produce.ResponseTopic{{Topic: "virt.events", Partitions: []produce.ResponsePartition{
			{Partition: 3, ErrorCode: 87, BaseOffset: -1, RecordErrors: []produce.ResponseError{{BatchIndex: 1, BatchIndexErrorMessage: "no"}}, ErrorMessage: "no"},
		}}}},
		&initproducerid.Response{ProducerID: 4000, ProducerEpoch: 1},
		&createtopics.Response{Topics: []createtopics.ResponseTopic{{Name: "virt.events", ErrorCode: 36, ErrorMessage: "it exists"}}},
		&describeconfigs.Response{Resources: []describeconfigs.ResponseResource{{ResourceName: "virt.events", ConfigEntries: []describeconfigs.ResponseConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete", ConfigSynonyms: []describeconfigs.ResponseConfigSynonym{{ConfigName: "a", ConfigValue: "b"}}},
		}}}},
		&listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: "virt.events", Partitions: []listoffsets.ResponsePartition{{Partition: 1, Offset: 7}}}}},
		&saslhandshake.Response{Mechanisms: []string{"PLAIN", "SCRAM-SHA-512"}},
		&saslauthenticate.Response{AuthBytes: []byte("v=x"), ErrorMessage: "m", SessionLifetimeMs: 1},
	}
}

// versionsOf returns the versions in which an answer may be read.
func versionsOf(key protocol.ApiKey) (versions []int16) {
	last := key.MaxVersion()
	if newest, ok := newestVersion[key]; ok {
		last = newest
	}
	for v := key.MinVersion(); v <= last; v++ {
		versions = append(versions, v)
	}
	return versions
}

func encodeAnswer(t testing.TB, version int16, id int32, m protocol.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, version, id, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The check and kafka-go's decoder agree: every answer passes the check as kafka-go
// encodes it, in every version, and its shape ends where the message does.
func TestFrames(t *testing.T) {
	seen := map[protocol.ApiKey]bool{}
	for _, m := range samples() {
		key := m.ApiKey()
		seen[key] = true
		for _, version := range versionsOf(key) {
			wire := encodeAnswer(t, version, 7, m)
			s, err := shapeOf(reflect.TypeOf(m).Elem(), version)
			if err != nil {
				t.Fatalf("%s version %d: %v", key, version, err)
			}
			if rest, err := s.skip(wire[8:]); err != nil || len(rest) != 0 {
				t.Errorf("%s version %d: %d bytes are left, %v", key, version, len(rest), err)
			}
			for cut := range wire[8:] {
				if _, err := s.skip(wire[8 : 8+cut]); !errors.Is(err, errShort) {
					t.Errorf("%s version %d, cut to %d bytes: %v, want %v", key, version, cut, err, errShort)
				}
			}
			got, err := newFrames(bytes.NewReader(wire)).read(key, version, 7, m)
			if err != nil {
				t.Errorf("%s version %d: %v", key, version, err)
				continue
			}
			_, want, err := protocol.ReadResponse(bytes.NewReader(wire), key, version)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
				t.Errorf("%s version %d (-kafka-go +frames):\n%s", key, version, diff)
			}
		}
	}
	for key := range answers {
		if !seen[key] {
			t.Errorf("no sample of %s", key)
		}
	}
}

// The versions that newestVersion leaves out are refused, and no others are.
func TestFlexibleVersions(t *testing.T) {
	for key, m := range answers {
		for v := key.MinVersion(); v <= key.MaxVersion(); v++ {
			newest, bounded := newestVersion[key]
			_, err := shapeOf(reflect.TypeOf(m).Elem(), v)
			if want := bounded && v > newest; errors.Is(err, errFlexible) != want {
				t.Errorf("%s version %d: %v, want %v: %t", key, v, err, errFlexible, want)
			}
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Lengths that lie take no memory.
func TestHostileLengths(t *testing.T) {
	huge := []byte{0x7f, 0xff, 0xff, 0xff}
	frame := func(body ...[]byte) []byte {
		b := bytes.Join(body, nil)
		b = append([]byte{0, 0, 0, 1}, b...)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	metadataAnswer := &metadata.Response{}
	for _, test := range []struct {
		name string
		wire []byte
		want error
	}{
		{"a length of 2 GiB", append(huge, 0, 0, 0, 1), errFrame},
		{"a negative length", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}, errFrame},
		{"a length below that of the head", []byte{0, 0, 0, 3, 0, 0, 0, 1}, errFrame},
		{"the largest length, and nothing behind it", []byte{2, 0, 0, 0, 0, 0, 0, 1}, io.ErrUnexpectedEOF},
		{"the answer to another request", []byte{0, 0, 0, 5, 0, 0, 0, 2, 0}, errFrame},
		{"2 billion brokers", frame([]byte{0, 0, 0, 0}, huge), errShort},
		{"2 billion topics", frame(make([]byte, 8), []byte{0xff, 0xff, 0, 0, 0, 0}, huge), errShort},
		{"a string of 32 KiB", frame([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff}), errShort},
		{"a web server", []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"), errFrame},
		{"a TLS alert", []byte{0x15, 3, 3, 0, 2, 2, 0x50, 0}, errFrame},
		{"an SSH server", []byte("SSH-2.0-OpenSSH_9.9\r\n"), errFrame},
		{"nothing", nil, io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			took := allocated(func() {
				_, err = newFrames(bytes.NewReader(test.wire)).read(protocol.Metadata, 3, 1, metadataAnswer)
			})
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if took > 1<<20 {
				t.Errorf("%d bytes were allocated", took)
			}
		})
	}
}

// FuzzAnswer reads anything as an answer of every kind: no panic, and memory in
// proportion to what was read.
func FuzzAnswer(f *testing.F) {
	for i, m := range samples() {
		versions := versionsOf(m.ApiKey())
		f.Add(uint8(i), uint8(len(versions)-1), encodeAnswer(f, versions[len(versions)-1], 1, m)[8:])
	}
	all := samples()
	f.Fuzz(func(t *testing.T, kind, version uint8, body []byte) {
		m := all[int(kind)%len(all)]
		versions := versionsOf(m.ApiKey())
		v := versions[int(version)%len(versions)]
		wire := append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), 0, 0, 0, 1)
		wire = append(wire, body...)
		r := newFrames(bytes.NewReader(wire))
		var got protocol.Message
		var err error
		took := allocated(func() { got, err = r.read(m.ApiKey(), v, 1, m) })
		if bound := uint64(64<<10 + 64*len(wire)); took > bound {
			t.Errorf("%s version %d: %d bytes were allocated for %d, want at most %d", m.ApiKey(), v, took, len(wire), bound)
		}
		if err == nil && got == nil {
			t.Error("neither an answer nor an error")
		}
	})
}

// FuzzFrame reads anything from a connection.
func FuzzFrame(f *testing.F) {
	f.Add(encodeAnswer(f, 8, 1, samples()[2]))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(_ *testing.T, wire []byte) {
		r := newFrames(bytes.NewReader(wire))
		for id := int32(1); ; id++ {
			if _, err := r.read(protocol.Produce, 8, id, samples()[2]); err != nil {
				return
			}
		}
	})
}
