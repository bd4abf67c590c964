package kafka

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

const stateTopic = "virt.domains"

// startStateCluster starts a cluster with a topic for states that keeps everything for
// the time of a test.
func startStateCluster(t *testing.T) *testCluster {
	t.Helper()
	c := startCluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}))
	err := c.CreateTopic(stateTopic, 6, map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *testCluster) stateConfig() Config {
	cfg := c.config()
	cfg.StateTopic = stateTopic
	return cfg
}

func newStateStore(t *testing.T, cfg Config) *StateStore {
	t.Helper()
	s, err := NewStateStore(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestStateConformance holds that states are stored as reliably as events.
func TestStateConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture {
		c := startStateCluster(t)
		return sinktest.Fixture{
			Open:     func(t *testing.T) sinktest.Sink { return newStateStore(t, c.stateConfig()) },
			Read:     func(t *testing.T) []schema.Event { return c.events(t, stateTopic) },
			TooLarge: 64 << 10,
			Break: []sinktest.Break{{Name: "cut connections", Do: func(*testing.T) {
				c.taps.cutAfter(1 + rand.IntN(500_000))
				time.Sleep(20 * time.Millisecond)
			}}},
			Stall:   func(*testing.T) { c.taps.stop() },
			Repeats: strings.HasSuffix(t.Name(), "/restart"),
		}
	}})
}

// stateOf makes the event that tells a state after an event.
func stateOf(e schema.Event, s schema.State) schema.Event {
	e.State = s
	return e.StateEvent()
}

// TestStateRecords holds keys, values and tombstones as any client sees them.
func TestStateRecords(t *testing.T) {
	c := startStateCluster(t)
	events := sinktest.NewSource(1, 2).Take(4)
	running := schema.State{Valid: true, Code: schema.StateRunning, Reason: 1, Persistence: schema.Persistent}
	gone := schema.State{Valid: true, Code: schema.StateShutoff, Persistence: schema.NotPersistent, Gone: true}
	states := []schema.Event{stateOf(events[0], running), stateOf(events[1], running), stateOf(events[2], gone)}
	store := newStateStore(t, c.stateConfig())
	if o, err := sinktest.Deliver(t.Context(), store, states); err != nil || o.Err != nil {
		t.Fatalf("Deliver: %v, %v", o, err)
	}
	last := map[string]int{} // by key: the record's length, -1 for a tombstone
	for _, partition := range c.records(t, stateTopic) {
		for _, r := range partition {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			if r.Value == nil {
				last[string(r.Key)] = -1
				want := map[string]string{
					"ce_type": "org.libvirt.domain.state.v1", "ce_id": states[2].ID(), "ce_source": events[2].Connection.Source,
					"ce_subject": string(r.Key), "ce_sequence": "00000000000000000003", "ce_domainsequence": "00000000000000000002",
				}
				for name, value := range want {
					if headers[name] != value {
						t.Errorf("header %s of a tombstone is %q, want %q", name, headers[name], value)
					}
				}
				continue
			}
			last[string(r.Key)] = len(r.Value)
			if got := headers["content-type"]; got != schema.ContentTypeStructured {
				t.Errorf("content-type %q, want %q", got, schema.ContentTypeStructured)
			}
			var ce event.Event
			if err := errors.Join(ce.UnmarshalJSON(r.Value), ce.Validate()); err != nil {
				t.Errorf("the SDK does not read %s: %v", r.Value, err)
			}
			if ce.Type() != "org.libvirt.domain.state.v1" || ce.Subject() != string(r.Key) {
				t.Errorf("%s has the key %s", r.Value, r.Key)
			}
		}
	}
	if len(last) != 2 || last[events[0].Object.UUID.String()] != -1 || last[events[1].Object.UUID.String()] <= 0 {
		t.Errorf("the last records are %v, want a tombstone and a state", last)
	}
}

// TestStateTopicIsCreated holds what a topic for states is created with.
func TestStateTopicIsCreated(t *testing.T) {
	c := startCluster(t, kfake.NumBrokers(1)) // kfake does not pass the request on to the controller, as brokers do.
	cfg := c.stateConfig()
	if err := newStateStore(t, cfg).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), stateTopic) {
		t.Errorf("without create and a topic: %v", err)
	}
	cfg.Create = &CreateConfig{Partitions: 5}
	store := newStateStore(t, cfg)
	if err := store.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fit := store.Fit(); !fit.Created || fit.Partitions != 5 || fit.Cleanup != "compact" || fit.Topic != stateTopic {
		t.Errorf("fit %+v", fit)
	}
	if err := newSink(t, cfg).Connect(t.Context()); err != nil {
		t.Errorf("the sink of events beside it: %v", err)
	}
}

func TestStateTopicDoesNotFit(t *testing.T) {
	for policy, want := range map[string]string{
		"delete":         "topic virt.domains: cleanup.policy is delete, so that the states of silent domains would be deleted with time; set cleanup.policy=compact, or set state_topic to another one",
		"compact,delete": "topic virt.domains: cleanup.policy is compact,delete, so that the states of silent domains would be deleted with time; set cleanup.policy=compact, or set state_topic to another one",
		"compact":        "",
	} {
		t.Run(policy, func(t *testing.T) {
			c := startCluster(t)
			if err := c.CreateTopic(stateTopic, 1, map[string]string{"cleanup.policy": policy}); err != nil {
				t.Fatal(err)
			}
			err := newStateStore(t, c.stateConfig()).Connect(t.Context())
			if got := errorText(err); got != want {
				t.Errorf("error %q, want %q", got, want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidateStateTopic(t *testing.T) {
	const letters = "; write one topic's name of letters, digits, ., _ and -, such as virt.domains"
	const own = "; give the states a topic of their own, such as virt.domains"
	for name, test := range map[string]struct{ topic, states, want string }{
		"none":           {"", "", ""},
		"good":           {"", "virt.domains", ""},
		"the events'":    {"", "virt.events", "state_topic: virt.events is a topic that events go to: topic is virt.events" + own},
		"a connection's": {"virt.{connection}", "virt.domains", "state_topic: virt.domains is a topic that events go to: topic is virt.{connection}" + own},
		"a kind's":       {"virt.{kind}.all", "virt.x.y.all", "state_topic: virt.x.y.all is a topic that events go to: topic is virt.{kind}.all" + own},
		"no kind's":      {"virt.{kind}.all", "virt.all", ""},
		"placeholder":    {"", "virt.{kind}", `state_topic: "virt.{kind}" has a placeholder` + letters},
		"character":      {"", "virt/x", `state_topic: "virt/x" has a character that no topic may have: '/'` + letters},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Brokers: []string{"127.0.0.1:9092"}, Topic: test.topic, StateTopic: test.states}
			if diff := cmp.Diff(test.want, errorText(cfg.Validate())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if _, err := NewStateStore(cfg, Options{}); (err == nil) != (test.want == "" && test.states != "") {
				t.Errorf("NewState: %v", err)
			}
		})
	}
}
