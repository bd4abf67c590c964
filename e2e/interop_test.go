package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// places are the sinks of virtcast in TestInterop. Each gets the same events. Words that
// begin with $ are filled in.
var places = []struct{ name, sink string }{
	{"nats-structured", `nats: {url: $nats, create: true, content: structured, stream: structured, subject: "structured.$tokens"}`},
	{"nats-binary", `nats: {url: $nats, create: true, content: binary, stream: binary, subject: "binary.$tokens"}`},
	{"kafka-structured", `kafka: {brokers: ["$kafka"], create: {}, topic: structured, content: structured, compression: gzip}`},
	{"kafka-binary", `kafka: {brokers: ["$kafka"], create: {}, topic: binary, content: binary, compression: none}`},
	{"kafka-zstd", `kafka: {brokers: ["$kafka"], create: {}, topic: zstd, content: binary, compression: zstd}`},
}

// consumers are the programs of e2e/interop.
var consumers = []struct {
	name string
	run  func(t testing.TB, program string, args ...string) *command.Cmd
	// program is the first argument of run.
	program string
	// bus tells which places the consumer reads. uncompressed is set if it knows no
	// compression but gzip.
	bus          string
	uncompressed bool
	// resolution is the resolution of times in the language's SDK. Times are cut to it
	// before they are compared.
	resolution time.Duration
}{
	{"java", lab.Java, "ConsumeEvents", "kafka", false, time.Nanosecond},
	{"python", lab.Python, "consume_kafka.py", "kafka", false, time.Microsecond},
	{"node", lab.Node, "consume-kafka.js", "kafka", true, time.Millisecond},
	{"python", lab.Python, "consume_nats.py", "nats", false, time.Microsecond},
	{"node", lab.Node, "consume-nats.js", "nats", false, time.Millisecond},
}

// oddNames are names of domains that an encoding may spoil, and that a real libvirtd
// takes.
var oddNames = []string{
	"plain", "two words ", "%41 is not A, 100%", `"double", 'single', \back`, "<a>&amp;b", "gäste-ïñtérnet", "虚拟机 🖥 \u202eright to left",
}

// oddestNames are names that no libvirtd known today accepts.
var oddestNames = []string{"", "line\nbreak\ttab\x00nul\x7f", "no UTF-8: \xff, \xc3", "\u2028\u2029\ufeff\U0010ffff", "a/b/../c"}

// Foreign clients read every attribute and the data of what virtcast sent, in binary and
// structured mode, from NATS and Kafka. Each key's events are in order, with the right
// key, and in the partition that the Java client would choose.
func TestInterop(t *testing.T) {
	lab.Require(t, "libvirtd", "go", "kafka", "java", "python", "node")
	broker, server := lab.Kafka(t, lab.KafkaOptions{}), lab.NATS(t, lab.NATSOptions{})
	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, lab.Test)
	peer, oddURI := hypervisor(t, libvirttest.Options{Flavor: libvirttest.FlavorQEMU})
	dir := t.TempDir()
	reference := filepath.Join(dir, "events.jsonl")

	var config strings.Builder
	fmt.Fprintf(&config, "data_dir: %q\nlog: {level: debug, format: json}\n", dir)
	fmt.Fprintf(&config, "connections:\n  - {name: host, uri: %q}\n  - {name: odd, uri: %q}\n", d.URI(lab.Test), oddURI)
	fmt.Fprintf(&config, "sinks:\n  - {name: file, jsonl: {path: %q}}\n", reference)
	fill := strings.NewReplacer(
		"$nats", server.URL, "$kafka", broker.Bootstrap()[0], "$tokens", "{connection}.{uuid}.{kind}.{event}.{detail}")
	for _, p := range places {
		fmt.Fprintf(&config, "  - name: %s\n    %s\n", p.name, fill.Replace(p.sink))
	}
	v := lab.Virtcast(t, config.String(), lab.VirtcastOptions{})

	awaitWatching(t, v, 1, "host", "odd")
	for _, name := range oddNames {
		live(t, d, name)
	}
	for i, name := range oddestNames {
		domain, err := peer.Define(name, schema.UUID{0: byte(i), 15: 1})
		if err != nil {
			t.Fatal(err)
		}
		domain.Emit(42, 7) // numbers that have no names yet
	}
	d.Kill(t) // a gap: an event with no subject
	d.Start(t)
	d.Hold(t, lab.Test)
	awaitWatching(t, v, 2, "host")
	live(t, d, "after the gap")
	sent := awaitEvents(t, reference, 6*(len(oddNames)+1)+1+2*len(oddestNames))
	checkSent(t, sent)

	var keys []string
	for _, e := range sent {
		keys = append(keys, e["partitionkey"].(string))
	}
	partitions := officialPartitions(t, keys, 12) // what create: {} makes
	for _, p := range places {
		bus, place, _ := strings.Cut(p.name, "-")
		for _, c := range consumers {
			if c.bus != bus || c.uncompressed && place == "zstd" {
				continue
			}
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				want := expected(sent, c.resolution)
				address := server.URL
				if bus == "kafka" {
					address = broker.Bootstrap()[0]
				}
				got := parsePrinted(t, lab.Output(t, c.run(t, c.program, address, place, fmt.Sprint(len(want)))))
				for _, e := range want {
					if bus == "nats" {
						e.Key = natsSubject(place, e)
						continue
					}
					e.Key = e.Extensions["partitionkey"]
					partition := partitions[e.Key]
					e.Partition = &partition
				}
				if diff := gocmp.Diff(byKey(want), byKey(got)); diff != "" {
					t.Errorf("events by key (-sent +%s printed):\n%s", c.program, diff)
				}
			})
		}
	}
}

// live takes a domain through its life: six events.
func live(t *testing.T, d *lab.Daemon, name string) {
	t.Helper()
	var escaped bytes.Buffer
	if err := xml.EscapeText(&escaped, []byte(name)); err != nil {
		t.Fatal(err)
	}
	d.Define(t, lab.Test, name, lab.TestDomain(escaped.String()))
	for _, verb := range []string{"start", "suspend", "resume", "destroy", "undefine"} {
		d.Virsh(t, lab.Test, verb, name)
	}
}

// printed is an event as the programs print it, and where they found it.
type printed struct {
	SpecVersion, ID, Type, Source, Subject, DataSchema, DataContentType string

	Time       time.Time
	Extensions map[string]string
	Data       any
	// Key is the record's key, or on NATS the message's subject. Partition is nil on
	// NATS.
	Key       string
	Partition *int
}

// parsePrinted parses what a program prints.
func parsePrinted(t *testing.T, output string) []*printed {
	t.Helper()
	var all []*printed
	for line := range strings.Lines(output) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		dec.UseNumber()
		e := &printed{}
		if err := dec.Decode(e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// awaitEvents waits until a file of JSON lines has as many events as wanted, and returns
// them.
func awaitEvents(t *testing.T, file string, want int) []map[string]any {
	t.Helper()
	var events []map[string]any
	lab.Eventually(t, lab.Patience, func() error {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Count(text, []byte("\n")) < want {
			err = fmt.Errorf("got %d events, want %d", bytes.Count(text, []byte("\n")), want)
		}
		if err != nil {
			return err
		}
		events = nil
		for dec := json.NewDecoder(bytes.NewReader(text)); dec.More(); {
			dec.UseNumber()
			var e map[string]any
			if err := dec.Decode(&e); err != nil {
				return err
			}
			events = append(events, e)
		}
		return nil
	})
	if len(events) != want {
		t.Fatalf("got %d events, want %d", len(events), want)
	}
	return events
}

// checkSent checks that every odd name and a gap are among the events.
func checkSent(t *testing.T, sent []map[string]any) {
	t.Helper()
	names, gaps := map[string]int{}, 0
	for _, e := range sent {
		data := e["data"].(map[string]any)
		if domain, ok := data["domain"].(map[string]any); ok {
			names[domain["name"].(string)]++
		} else if e["type"] == "org.virtcast.connection.gap.v1" {
			gaps++
		}
	}
	want := map[string]int{"after the gap": 6}
	for _, name := range oddNames {
		want[name] = 6
	}
	for _, name := range oddestNames {
		want[strings.ToValidUTF8(name, "\ufffd")] = 2
	}
	if diff := gocmp.Diff(want, names); diff != "" || gaps != 1 {
		t.Fatalf("got %d gaps, want 1; events by domain (-want +got):\n%s", gaps, diff)
	}
}

// expected returns the lines that a program should print for the events, without their
// place, and with times cut to a resolution.
func expected(sent []map[string]any, resolution time.Duration) []*printed {
	all := make([]*printed, len(sent))
	for i, attributes := range sent {
		e := &printed{Extensions: map[string]string{}}
		all[i] = e
		for name, value := range attributes {
			text := fmt.Sprint(value)
			switch name {
			case "specversion":
				e.SpecVersion = text
			case "id":
				e.ID = text
			case "type":
				e.Type = text
			case "source":
				e.Source = text
			case "subject":
				e.Subject = text
			case "dataschema":
				e.DataSchema = text
			case "datacontenttype":
				e.DataContentType = text
			case "time":
				when, _ := time.Parse(time.RFC3339Nano, text) // a zero time is equal to none that is printed
				e.Time = when.Truncate(resolution)
			case "data":
				e.Data = value
			default:
				e.Extensions[name] = text
			}
		}
	}
	return all
}

// natsSubject returns the subject that an event is published on.
func natsSubject(first string, e *printed) string {
	words := []string{first, e.Extensions["connection"], cmp.Or(e.Subject, "_"), "gap", "_", "_"}
	if what, ok := strings.CutPrefix(e.Type, "org.libvirt.domain.lifecycle."); ok {
		words[3], words[4], words[5] = "lifecycle", strings.TrimSuffix(what, ".v1"), e.Extensions["detail"]
	}
	return strings.Join(words, ".")
}

// byKey returns the events of each partitionkey in their order: there is no order across
// keys.
func byKey(events []*printed) map[string][]*printed {
	keys := map[string][]*printed{}
	for _, e := range events {
		key := e.Extensions["partitionkey"]
		keys[key] = append(keys[key], e)
	}
	return keys
}
