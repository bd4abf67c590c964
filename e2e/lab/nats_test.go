package lab_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/e2e/lab"
)

func TestNATS(t *testing.T) {
	s := lab.NATS(t, lab.NATSOptions{Config: []string{"authorization: {user: joe, password: secret}"}})
	if _, err := nats.Connect(s.URL); err == nil {
		t.Error("a client without a password was let in")
	}
	nc, err := nats.Connect(s.URL, nats.UserInfo("joe", "secret"), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	s.Start(t)
	s.Restart(t)
	lab.Eventually(t, lab.Patience, func() error {
		info, err := stream.Info(t.Context())
		if err == nil && info.State.Msgs != 1 {
			t.Fatalf("after kill and restart the stream has %d messages, want 1", info.State.Msgs)
		}
		return err
	})
}
