package kafka

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/client"
)

func TestConfigValidate(t *testing.T) {
	brokers := []string{"kafka1:9092"}
	for _, test := range []struct {
		name string
		cfg  Config
		want []string // the faults
	}{
		{"smallest", Config{Brokers: brokers}, nil},
		{"whole", Config{
			Brokers: []string{"kafka1:9092", "[::1]:9093", "10.0.0.1:65535"}, Topic: "virt.{connection}.{kind}", Content: ContentStructured,
			Compression: CompressionZstd, Create: &CreateConfig{Partitions: 12, Replication: 3},
			SASL: SASLConfig{Mechanism: MechanismScramSHA512, Username: "u", Password: "p"}, TLS: &TLSConfig{CA: "ca.pem", Cert: "c.pem", Key: "k.pem"},
			BatchBytes: 1 << 20, BatchEvents: 1, Linger: time.Second, ConnectTimeout: time.Second, AckTimeout: time.Second,
		}, nil},
		{"defaults", Config{Brokers: brokers, Create: &CreateConfig{}}.WithDefaults(), nil},
		{"no brokers", Config{}, []string{"kafka.brokers: missing; list the brokers, such as [127.0.0.1:9092]"}},
		{"addresses", Config{Brokers: []string{"kafka1", "kafka://a:9092", ":9092", "a:b", "a:0", "a:65536", "a b:9092"}}, []string{
			`kafka.brokers[0]: "kafka1" is not host:port; write host:port, such as 127.0.0.1:9092`,
			`kafka.brokers[1]: "kafka://a:9092" is not host:port; write host:port, such as 127.0.0.1:9092`,
			`kafka.brokers[2]: ":9092" is not host:port; write host:port, such as 127.0.0.1:9092`,
			`kafka.brokers[3]: "b" is not a port; write host:port, such as 127.0.0.1:9092`,
			`kafka.brokers[4]: "0" is not a port; write host:port, such as 127.0.0.1:9092`,
			`kafka.brokers[5]: "65536" is not a port; write host:port, such as 127.0.0.1:9092`,
			`kafka.brokers[6]: "a b:9092" is not host:port; write host:port, such as 127.0.0.1:9092`,
		}},
		{"words", Config{Brokers: brokers, Content: "json", Compression: "brotli"}, []string{
			`kafka.content: content mode "json" is not known; write binary or structured`,
			`kafka.compression: compression "brotli" is not known; write none, gzip, snappy, lz4 or zstd`,
		}},
		{"batches", Config{Brokers: brokers, BatchBytes: 1023, BatchEvents: -1}, []string{
			"kafka.batch_bytes: 1023 bytes is out of range; write 1024 to 67108864, and no more than the topic's max.message.bytes",
			"kafka.batch_events: -1 is negative; write a positive number",
		}},
		{"too large batches", Config{Brokers: brokers, BatchBytes: 64<<20 + 1}, []string{
			"kafka.batch_bytes: 67108865 bytes is out of range; write 1024 to 67108864, and no more than the topic's max.message.bytes",
		}},
		{"times", Config{Brokers: brokers, ConnectTimeout: time.Millisecond, AckTimeout: -time.Second, Linger: 2 * time.Second}, []string{
			"kafka.connect_timeout: 1ms is too short; write a duration such as 5s", "kafka.ack_timeout: -1s is too short; write a duration such as 5s",
			"kafka.linger: 2s is out of range; write a duration up to 1s, such as 5ms",
		}},
		{"create", Config{Brokers: brokers, Create: &CreateConfig{Partitions: -1, Replication: 33}}, []string{
			"kafka.create.partitions: -1 partitions are not possible; write a number from 1 to 10000",
			"kafka.create.replication: 33 replicas are not possible; write the number of brokers that shall hold each partition, such as 3",
		}},
		{"no mechanism", Config{Brokers: brokers, SASL: SASLConfig{Username: "u", Password: "p"}}, []string{
			"kafka.sasl: a login without a mechanism; add mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
		}},
		{"mechanism", Config{Brokers: brokers, SASL: SASLConfig{Mechanism: "GSSAPI"}}, []string{
			`kafka.sasl.mechanism: mechanism "GSSAPI" is not known; write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`,
			"kafka.sasl: a login without a username; add username",
			`kafka.sasl: a login without a password; add password, such as "${KAFKA_PASSWORD}"`,
		}},
		{"tls", Config{Brokers: brokers, TLS: &TLSConfig{CA: "ca.pem", Cert: "c.pem", Insecure: true}}, []string{
			"kafka.tls: cert and key belong together; give both or neither",
			"kafka.tls.insecure: insecure accepts any certificate, so ca would have no effect; remove insecure, or ca",
		}},
		{"topic", Config{Brokers: brokers, Topic: "virt events"}, []string{
			`kafka.topic: "virt events" has a character that no topic may have: ' '; use letters, digits, ., _ and -, and {connection} or {kind}, such as virt.events`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			faults, others := field.All(field.Under("kafka", test.cfg.Validate()))
			if len(others) > 0 {
				t.Errorf("other errors: %v", others)
			}
			for _, f := range faults {
				got = append(got, f.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			_, err := New(test.cfg, Options{})
			if (err != nil) != (test.want != nil) {
				t.Errorf("New: %v", err)
			}
		})
	}
}

// What a user writes is understood, and what is left out is filled in.
func TestConfigYAML(t *testing.T) {
	const text = `
brokers: [kafka1:9092, kafka2:9092]
topic: virt.{kind}
content: structured
compression: zstd
create: {replication: 3}
sasl: {mechanism: SCRAM-SHA-512, username: virtcast, password: secret}
tls: {ca: ca.pem, cert: client.pem, key: client.key}
batch_bytes: 1000000
batch_events: 500
linger: 5ms
connect_timeout: 1s
ack_timeout: 30s
`
	var got Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := Config{
		Brokers: []string{"kafka1:9092", "kafka2:9092"}, Topic: "virt.{kind}", Content: ContentStructured, Compression: CompressionZstd,
		Create: &CreateConfig{Replication: 3}, SASL: SASLConfig{Mechanism: MechanismScramSHA512, Username: "virtcast", Password: "secret"},
		TLS:        &TLSConfig{CA: "ca.pem", Cert: "client.pem", Key: "client.key"},
		BatchBytes: 1_000_000, BatchEvents: 500, Linger: 5 * time.Millisecond, ConnectTimeout: time.Second, AckTimeout: 30 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got.WithDefaults().Create.Partitions != 12 || got.Create.Partitions != 0 {
		t.Error("WithDefaults changes what it is called with, or does not fill in create.partitions")
	}
	filled := Config{Brokers: []string{"a:1"}}.WithDefaults()
	want = Config{
		Brokers: []string{"a:1"}, Topic: "virt.events", Content: ContentBinary, Compression: CompressionNone,
		BatchBytes: 512 << 10, BatchEvents: 10_000, ConnectTimeout: 5 * time.Second, AckTimeout: 5 * time.Second,
	}
	if diff := cmp.Diff(want, filled); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestParseTopic(t *testing.T) {
	event := schema.Event{Observation: schema.Observation{
		Connection: &schema.Connection{Name: "kvm 01/é"}, Kind: schema.KindLifecycle,
	}}
	for _, test := range []struct{ template, topic, problem string }{
		{"virt.events", "virt.events", ""},
		{"{connection}", "kvm_01___", ""},
		{"virt.{connection}.{kind}-x", "virt.kvm_01___.lifecycle-x", ""},
		{"{kind}{kind}", "lifecyclelifecycle", ""},
		{"virt.{host}", "", "unknown placeholder {host}"},
		{"virt.{kind", "", `"virt.{kind" has a { without a } at character 6`},
		{"virt.kind}", "", `"virt.kind}" has a } without a { at character 10`},
		{"virt.{{kind}}", "", "has a { without a } at character 6"},
		{"virt/events", "", `"virt/events" has a character that no topic may have: '/'`},
		{"virt*", "", "has a character that no topic may have"},
		{".", "", `"." cannot be a topic's name`},
		{"..", "", `".." cannot be a topic's name`},
		{strings.Repeat("a", 249), strings.Repeat("a", 249), ""},
		{strings.Repeat("a", 250), "", "is longer than the 249 characters of a topic's name"},
		{strings.Repeat("a", 240) + "{kind}", strings.Repeat("a", 240) + "lifecycle", ""},
	} {
		parsed, err := parseTopic(test.template)
		switch {
		case test.problem != "":
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("parseTopic(%q): %v, want %s", test.template, err, test.problem)
			}
		case err != nil:
			t.Errorf("parseTopic(%q): %v", test.template, err)
		default:
			if got := string(parsed.appendTo([]byte("x"), &event)); got != "x"+test.topic {
				t.Errorf("topic of %q is %q, want %q", test.template, got[1:], test.topic)
			}
			if got := parsed.String(); got != test.template {
				t.Errorf("%q is written as %q", test.template, got)
			}
		}
	}
}

// FuzzTopic holds that every accepted template makes names that topics may have.
func FuzzTopic(f *testing.F) {
	f.Add("virt.events", "kvm01", uint16(0))
	f.Add("{connection}", ".", uint16(1))
	f.Add("a{kind}b{connection}", "", uint16(999))
	f.Fuzz(func(t *testing.T, text, connection string, kind uint16) {
		parsed, err := parseTopic(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		event := schema.Event{Observation: schema.Observation{
			Connection: &schema.Connection{Name: connection}, Kind: schema.Kind(kind),
		}}
		name := string(parsed.appendTo(nil, &event))
		if name == "" || name == "." || name == ".." || len(name) > 249 {
			t.Errorf("%q makes the topic %q", text, name)
		}
		for i := range len(name) {
			if !isTopicByte(name[i]) {
				t.Errorf("%q makes the topic %q", text, name)
			}
		}
		if fixedName, fixed := parsed.Fixed(); fixed && fixedName != name {
			t.Errorf("%q makes the topic %q, and is said to be fixed to %q", text, name, fixedName)
		}
	})
}

// The metrics count what happened.
func TestMetrics(t *testing.T) {
	c := single(t)
	tape := c.record()
	sink := c.watch(t)
	events := oneDomain(30)
	poison(events, 12)
	sink.deliver(t, events[:10])
	tape.fail(19, 2)
	sink.deliver(t, events[10:12])
	tape.answer(func(s sent) (client.Code, bool) { return client.CodeMessageTooLarge, isPoison(s) })
	_ = sink.refuses(t, events[12:13], 0)
	tape.fail(59, 1)
	sink.deliver(t, events[13:])
	got := map[string]float64{}
	families, err := sink.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				got[name] = float64(h.GetSampleCount())
			} else {
				got[name] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{
		"virtcast_kafka_delivered_total":                  29,
		"virtcast_kafka_possible_duplicates_total":        0,
		"virtcast_kafka_produce_requests_total":           float64(len(tape.batches())),
		"virtcast_kafka_errors_total NOT_ENOUGH_REPLICAS": 2,
		"virtcast_kafka_errors_total MESSAGE_TOO_LARGE":   1,
		"virtcast_kafka_errors_total UNKNOWN_PRODUCER_ID": 1,
		"virtcast_kafka_connects_total":                   1,
		"virtcast_kafka_deliver_seconds":                  4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	var registered prometheus.AlreadyRegisteredError
	if _, err := New(c.config(), Options{Registerer: sink.registry}); !errors.As(err, &registered) {
		t.Errorf("a second sink with the same registerer: %v, want an error", err)
	}
}
