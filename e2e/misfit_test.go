package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// If a Kafka sink cannot work, virtcast logs the reason and the cure at the start, in one
// line, and still serves the other sink.
func TestKafkaMisfits(t *testing.T) {
	pki := lab.NewPKI(t)
	secured := lab.Kafka(t, lab.KafkaOptions{
		PKI: pki, ACLs: true, Users: map[string]string{"joe": "secret", "jim": "secret"},
	})
	secured.CreateTopic(t, lab.KafkaTopic{Name: "virt.events"})
	secured.Tool(t, "org.apache.kafka.tools.AclCommand", "--bootstrap-server", "@",
		"--add", "--allow-principal", "User:joe", "--producer", "--topic", "*")
	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, lab.Test)

	kafka := func(user, password, ca, topic string) string {
		return fmt.Sprintf(`brokers: ["%s"], topic: %s, sasl: {mechanism: SCRAM-SHA-512, username: %s, password: %s}, tls: {ca: %s}`,
			secured.Bootstrap()[0], topic, user, password, ca)
	}
	ca, otherCA := pki.Good+"/cacert.pem", lab.NewPKI(t).Good+"/cacert.pem"
	for _, test := range []struct {
		name, kafka string
		want        []string // in the error; none: it works
	}{
		{"nothing wrong", kafka("joe", "secret", ca, "virt.events"), nil},
		{"wrong password", kafka("joe", "wrong", ca, "virt.events"), []string{
			"SASL_AUTHENTICATION_FAILED", `check sasl.username "joe", its password`,
		}},
		{"wrong authority", kafka("joe", "secret", otherCA, "virt.events"), []string{
			"certificate signed by unknown authority", "set tls.ca to the PEM file",
		}},
		{"missing topic", kafka("joe", "secret", ca, "other.events"), []string{
			"topic other.events: UNKNOWN_TOPIC_OR_PARTITION", "create the topic, or add create:",
		}},
		{"missing right", kafka("jim", "secret", ca, "virt.events"), []string{
			"TOPIC_AUTHORIZATION_FAILED", `allow user "jim" Describe and Write on the topic`,
		}},
		{"unreachable broker", `brokers: ["127.0.0.1:1"]`, []string{
			"127.0.0.1:1", "connection refused", "start the broker, or correct brokers",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, v := start(t, setup{
				connections: []connection{{"host", d.URI(lab.Test)}},
				sinks:       "  - name: log\n    kafka: {" + test.kafka + "}\n",
			})
			awaitWatching(t, v, 1, "host")
			if test.want == nil {
				v.AwaitLog(t, lab.Patience, "kafka topic found")
			} else {
				lab.Eventually(t, lab.Patience, func() error { return misfit(v, test.want) })
			}
			name := strings.ReplaceAll(test.name, " ", "-")
			uuid := d.Define(t, lab.Test, name, lab.TestDomain(name))
			s.expect(t, uuid, []string{"defined/added"})
			if failing := strings.Contains(v.Log(), "the sink does not take events"); failing != (test.want != nil) {
				t.Errorf("the log says that the sink does not take events: %t, want %t", failing, test.want != nil)
			}
			v.Kill9(t) // in order it would wait for Kafka
		})
	}
}

// misfit returns nil once virtcast's log has one line with the reason why the sink "log"
// takes no events.
func misfit(v *lab.VirtcastProcess, want []string) error {
	for text := range strings.Lines(v.Log()) {
		var line struct{ Msg, Sink, Err string }
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Sink != "log" || line.Err == "" {
			continue
		}
		for _, w := range want {
			if !strings.Contains(line.Err, w) {
				return fmt.Errorf("the sink's error is %q, want %q in it", line.Err, w)
			}
		}
		if strings.Contains(line.Err, "\n") {
			return fmt.Errorf("the sink's error has more than one line: %q", line.Err)
		}
		return nil
	}
	return fmt.Errorf("the log has no error of the sink")
}
