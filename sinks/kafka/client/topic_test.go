package client

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// What the metadata of a topic make of it.
func TestTopicUpdate(t *testing.T) {
	three, six := []Node{1, 2, 3}, []Node{1, 2, 3, 1, NoLeader, 3}
	none := []Node{NoLeader, NoLeader, NoLeader}
	for _, test := range []struct {
		name string
		// The topic before, and since when its metadata have had fewer partitions.
		leaders []Node
		fewer   time.Duration
		// The metadata.
		code Code
		has  []Node

		want       []Node
		generation int
		err        Code // CodeNone is no error
	}{
		{"new", nil, 0, CodeNone, three, three, 0, CodeNone},
		{"a leader moves", []Node{1, 1, 1}, 0, CodeNone, three, three, 0, CodeNone},
		{"a partition without a leader", six, 0, CodeNone, six, six, 0, CodeNone},
		{"partitions are added", three, 0, CodeNone, six, six, 0, CodeNone},
		{"fewer partitions are not believed at once", three, 0, CodeNone, []Node{1}, none, 0, CodeLeaderNotAvailable},
		{"fewer partitions for long", three, time.Minute, CodeNone, []Node{1}, []Node{1}, 1, CodeNone},
		{"an error", three, 0, CodeUnknownTopic, nil, none, 0, CodeUnknownTopic},
	} {
		t.Run(test.name, func(t *testing.T) {
			topic := &Topic{Name: "t", Leaders: slices.Clone(test.leaders)}
			if test.fewer > 0 {
				topic.fewer = time.Now().Add(-test.fewer)
			}
			topic.update(test.code, test.has, 1, time.Second)
			if !slices.Equal(topic.Leaders, test.want) || topic.Generation != test.generation {
				t.Errorf("leaders %v, generation %d; want %v, %d", topic.Leaders, topic.Generation, test.want, test.generation)
			}
			var e *CodeError
			if errors.As(topic.Err, &e) != (test.err != CodeNone) || e != nil && e.Code != test.err {
				t.Errorf("error %v, want the code %s", topic.Err, test.err.Name())
			}
			if got := topic.Leader(99); got != NoLeader {
				t.Errorf("an unknown partition has the leader %d", got)
			}
		})
	}
}

// A broker that kept silent gets no batch for as long as it was waited for; one that
// refuses is tried again at once.
func TestSilentBrokerRests(t *testing.T) {
	p := newPool(&Config{Brokers: []string{"127.0.0.1:1"}, AckTimeout: time.Hour}, func() {})
	silent, refusing := Node(1), Node(2)
	_ = p.note(silent, errSilent)
	_ = p.note(refusing, errors.New("connection refused"))
	if err := p.resting(silent); !errors.Is(err, errSilent) {
		t.Errorf("a silent broker rests for %v, want %v", err, errSilent)
	}
	if err := p.resting(refusing); err != nil {
		t.Errorf("a broker that refused a connection rests: %v", err)
	}
	p.cfg.AckTimeout = -time.Second
	_ = p.note(silent, errSilent)
	if err := p.resting(silent); err != nil {
		t.Errorf("a silent broker rests for ever: %v", err)
	}
}
