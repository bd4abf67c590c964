package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/e2e/lab"
)

const (
	streamName = "VIRTCAST"
	// quiet is how long a stream is watched for events that should not come.
	quiet = 300 * time.Millisecond
)

// stream reads what virtcast has published, from the first message on.
type stream struct {
	js       jetstream.JetStream
	messages []message
}

// openStream connects to a server. The stream itself may come later.
func openStream(t *testing.T, url string) *stream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &stream{js: js}
}

// read reads what has come since the last read. A message that is no valid event fails
// the test.
func (s *stream) read(t *testing.T) error {
	t.Helper()
	st, err := s.js.Stream(t.Context(), streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for {
		raw, err := st.GetMsg(t.Context(), uint64(len(s.messages))+1)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := decode(raw)
		if err != nil {
			t.Errorf("message %d: %v", len(s.messages)+1, err)
		}
		s.messages = append(s.messages, m)
	}
}

// of returns the lifecycle events of one domain as "event/detail", in order.
func (s *stream) of(uuid string) []string {
	var got []string
	for _, m := range s.messages {
		if m.Subject() == uuid && strings.HasPrefix(m.Type(), "org.libvirt.domain.lifecycle.") {
			got = append(got, m.what+"/"+m.detail)
		}
	}
	return got
}

// expect waits until a domain has as many events as wanted, and fails the test unless
// they are exactly the wanted ones.
func (s *stream) expect(t *testing.T, uuid string, want []string) {
	t.Helper()
	deadline := time.Now().Add(lab.Patience)
	for {
		err := s.read(t)
		if got := s.of(uuid); len(got) >= len(want) && err == nil || time.Now().After(deadline) {
			if err != nil {
				t.Errorf("read the stream: %v", err) // it may have been down for a while
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("events of %s (-want +got):\n%s", uuid, diff)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// allow waits for a little while. If one more event of a domain has come, among the last
// n, it returns the wanted events with that event; otherwise it returns the wanted
// events.
func (s *stream) allow(t *testing.T, uuid string, want []string, n int, more string) []string {
	t.Helper()
	for deadline := time.Now().Add(2 * quiet); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err := s.read(t); err != nil {
			t.Fatal(err)
		}
		for i := len(want) - n; i <= len(want); i++ {
			if with := slices.Insert(slices.Clone(want), i, more); slices.Equal(s.of(uuid), with) {
				return with
			}
		}
	}
	return want
}

// settle waits until nothing more comes, and checks everything that has come.
func (s *stream) settle(t *testing.T) {
	t.Helper()
	for n := -1; n != len(s.messages); {
		n = len(s.messages)
		time.Sleep(quiet)
		if err := s.read(t); err != nil {
			t.Fatal(err)
		}
	}
	checkPromises(t, s.messages)
}
