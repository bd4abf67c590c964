package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// connection is one row of the configuration.
type connection struct{ name, uri string }

// setup is what a scenario configures.
type setup struct {
	connections []connection
	// domain, if set, is the UUID that the only registration names.
	domain string
	// content is the content mode; empty is virtcast's default.
	content string
	// kafka, if set, is a cluster to publish to as well, with a topic and its partitions.
	kafka      *lab.KafkaCluster
	topic      string
	partitions int
	// sinks is YAML of more sinks.
	sinks string
	// metrics is the address for the metrics; empty is none.
	metrics string
}

// config returns the configuration file.
func (s setup) config(natsURL, dataDir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir: %q\nconnections:\n", dataDir)
	for _, c := range s.connections {
		fmt.Fprintf(&b, "  - name: %s\n    uri: %q\n", c.name, c.uri)
	}
	if s.domain != "" {
		fmt.Fprintf(&b, "registrations:\n  - domain: %s\n    events: [lifecycle]\n    sinks: [bus]\n", s.domain)
	}
	fmt.Fprintf(&b, "sinks:\n  - name: bus\n    nats:\n      url: %s\n      stream: %s\n      create: true\n", natsURL, streamName)
	if s.content != "" {
		fmt.Fprintf(&b, "      content: %s\n", s.content)
	}
	if s.kafka != nil {
		fmt.Fprintf(&b, "  - name: log\n    kafka:\n      brokers: [%s]\n      topic: %s\n      create: {partitions: %d}\n",
			strings.Join(s.kafka.Bootstrap(), ", "), s.topic, s.partitions)
	}
	b.WriteString(s.sinks)
	if s.metrics != "" {
		fmt.Fprintf(&b, "metrics:\n  listen: %s\n", s.metrics)
	}
	b.WriteString("log:\n  level: debug\n  format: json\n")
	return b.String()
}

// start runs a NATS server and virtcast.
func start(t *testing.T, s setup) (*stream, *lab.VirtcastProcess) {
	t.Helper()
	server := lab.NATS(t, lab.NATSOptions{})
	v := lab.Virtcast(t, s.config(server.URL, t.TempDir()), lab.VirtcastOptions{})
	return openStream(t, server.URL), v
}

// logLine is what the tests look at in virtcast's log.
type logLine struct {
	Msg        string
	Connection string
	Callbacks  int
	Err        string
}

// logged returns the log lines with a message about a connection.
func logged(v *lab.VirtcastProcess, msg, connection string) []logLine {
	var found []logLine
	for text := range strings.Lines(v.Log()) {
		var line logLine
		if err := json.Unmarshal([]byte(text), &line); err == nil && line.Msg == msg && line.Connection == connection {
			found = append(found, line)
		}
	}
	return found
}

// awaitWatching waits until virtcast has registered its events for the nth time on
// each of the connections.
func awaitWatching(t *testing.T, v *lab.VirtcastProcess, nth int, connections ...string) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		if !v.Running() {
			t.Fatal("virtcast has ended")
		}
		for _, name := range connections {
			if n := len(logged(v, "watching", name)); n < nth {
				return fmt.Errorf("connection %s was registered %d times, want %d", name, n, nth)
			}
		}
		return nil
	})
}
