package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/e2e/lab"
)

// step does something to a domain, and has the events that must follow.
type step struct {
	name string
	do   func(t *testing.T)
	want []string
}

// scenario is one domain of one daemon on the way through its steps.
type scenario struct {
	kafka  *lab.KafkaCluster
	daemon *lab.Daemon
	uri    string // local: lab.Test, lab.QEMU, lab.LXC
	// domain is the name and uuid the UUID; both may be set by the first step.
	domain, uuid *string
	steps        []step
	// sometimes is an event, by the name of a step, that the hypervisor may or may not
	// send among those that follow the step.
	sometimes map[string]string
}

// run runs virtcast on the daemon with a NATS and a Kafka sink and takes the steps one
// after another. It checks the events on NATS after each step, and on both at the end.
func (s scenario) run(t *testing.T) {
	t.Helper()
	s.daemon.Hold(t, s.uri)
	oracle := s.daemon.Watch(t, s.uri)
	topic := strings.ReplaceAll(t.Name(), "/", ".")
	stream, v := start(t, setup{connections: []connection{{"host", s.daemon.URI(s.uri)}}, kafka: s.kafka, topic: topic})
	awaitWatching(t, v, 1, "host")
	var want []string
	for _, step := range s.steps {
		if !t.Run(step.name, func(t *testing.T) {
			step.do(t)
			want = append(want, step.want...)
			if more, ok := s.sometimes[step.name]; ok {
				want = stream.allow(t, *s.uuid, want, len(step.want), more)
			}
			stream.expect(t, *s.uuid, want)
		}) {
			t.FailNow()
		}
	}
	stream.settle(t)
	stream.expect(t, *s.uuid, want)
	sameOnKafka(t, stream.messages, s.kafka.Bootstrap(), topic)
	if diff := cmp.Diff(observed(t, oracle, *s.domain), want); diff != "" {
		t.Errorf("virsh event and virtcast differ (-virsh +virtcast):\n%s", diff)
	}
}

// observed returns the lifecycle events that virsh event printed of a domain, in
// virtcast's words.
func observed(t *testing.T, oracle *lab.Lines, domain string) []string {
	t.Helper()
	var got []string
	for _, line := range oracle.Get() {
		text, ok := strings.CutPrefix(line, "event 'lifecycle' for domain '"+domain+"': ")
		if !ok {
			continue
		}
		what, detail, _ := strings.Cut(text, " ")
		name, ok := virshDetails[detail]
		if !ok {
			t.Errorf("virsh event prints a detail that this test has no word for: %q", text)
		}
		got = append(got, strings.ToLower(what)+"/"+name)
	}
	return got
}

// virshDetails are the details that occur here, as virsh event prints them.
var virshDetails = map[string]string{
	"Added": "added", "Updated": "updated", "Removed": "removed", "Renamed": "renamed",
	"Booted": "booted", "Restored": "restored", "Snapshot": "from-snapshot",
	"Paused": "paused", "Unpaused": "unpaused",
	"Shutdown": "shutdown", "Destroyed": "destroyed", "Saved": "saved", "Failed": "failed", "Crashed": "crashed",
	"Finished after guest request": "guest", "Finished after host request": "host",
	"Panicked": "panicked",
}
