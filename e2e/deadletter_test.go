package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
)

// An event that Kafka refuses for good becomes a dead letter and holds up no other event.
// Once the cause is mended, the dead letter is retried while virtcast runs.
func TestDeadLetters(t *testing.T) {
	d, kafka := lab.Libvirtd(t, lab.Options{}), lab.Kafka(t, lab.KafkaOptions{})
	d.Hold(t, lab.Test)
	const topic = "small"
	// An event about a domain with a short name takes some 800 bytes, with one of 240
	// bytes some 1,050.
	kafka.CreateTopic(t, lab.KafkaTopic{Name: topic, Config: map[string]string{"max.message.bytes": "950"}})
	s, v := start(t, setup{connections: []connection{{"host", d.URI(lab.Test)}}, kafka: kafka, topic: topic})
	awaitWatching(t, v, 1, "host")
	large := strings.Repeat("n", 240)
	for _, name := range []string{"first", large, "last"} {
		d.Define(t, lab.Test, name, lab.TestDomain(name))
	}
	v.AwaitLog(t, lab.Patience, "an event cannot be delivered; it is kept as a dead letter")
	readTopic(t, kafka.Bootstrap(), topic, 2)

	program := lab.VirtcastProgram(t, false)
	deadletter := func(args ...string) string {
		t.Helper()
		cmd := command.New(t.Context(), lab.Patience, program, append([]string{"deadletter", "-c", v.ConfigFile}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("deadletter %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	var letter struct {
		Number       int
		Sink, Reason string
		Event        struct {
			Data struct{ Domain struct{ Name string } }
		}
	}
	if err := json.Unmarshal([]byte(deadletter("show", "1")), &letter); err != nil {
		t.Fatal(err)
	}
	if letter.Sink != "log" || letter.Event.Data.Domain.Name != large || !strings.Contains(letter.Reason, "MESSAGE_TOO_LARGE") {
		t.Errorf("dead letter %+v, want the large event of the sink log, refused as too large", letter)
	}
	if list := deadletter("list"); strings.Count(list, "\n") != 2 || !strings.Contains(list, "MESSAGE_TOO_LARGE") {
		t.Errorf("deadletter list prints\n%s", list)
	}

	kafka.Tool(t, "kafka.admin.ConfigCommand", "--bootstrap-server", "@", "--alter", "--entity-type", "topics",
		"--entity-name", topic, "--add-config", "max.message.bytes=100000")
	if out := deadletter("retry", "--all"); out != "1 dead letters put back\n" {
		t.Errorf("deadletter retry prints %q", out)
	}
	found := false
	for _, r := range readTopic(t, kafka.Bootstrap(), topic, 3) {
		found = found || strings.Contains(string(r.Value), large)
	}
	if !found {
		t.Error("the event that was retried is not in the topic")
	}
	if list := deadletter("list"); list != "no dead letters\n" {
		t.Errorf("deadletter list prints\n%s", list)
	}
	s.settle(t) // NATS has had all of it, once
	if len(s.messages) != 3 {
		t.Errorf("NATS has %d messages, want 3", len(s.messages))
	}
}
