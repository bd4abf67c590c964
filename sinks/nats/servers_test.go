package nats

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/sinks/sinktest"
)

// TestOneURLIsEnough: where one server of a cluster is configured and is gone, the sink
// goes on with those that it had announced, with the same credentials, and with the host
// name of the URL for the certificates of servers that are announced by address.
func TestOneURLIsEnough(t *testing.T) {
	a := newAuthority(t)
	login := func(o *server.Options) { o.Username, o.Password = "bridge", "secret" }
	tests := []struct {
		name    string
		options func(*server.Options)
		url     string // %d is the port
		cfg     Config
		client  []natsgo.Option
	}{
		{name: "credentials in the URL", options: login, url: "nats://bridge:secret@127.0.0.1:%d"},
		{
			name: "TLS and a name", url: "tls://localhost:%d", cfg: Config{TLS: TLSConfig{CA: a.ca}, Username: "bridge", Password: "secret"},
			options: func(o *server.Options) {
				login(o)
				o.TLS, o.TLSConfig = true, a.serverTLS(t, "localhost", time.Now().Add(time.Hour), false)
			},
			client: []natsgo.Option{natsgo.RootCAs(a.ca)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			servers := startCluster(t, 3, tt.options)
			url := func(s *testServer) string {
				return fmt.Sprintf(tt.url, s.Addr().(*net.TCPAddr).Port)
			}
			client := append([]natsgo.Option{natsgo.UserInfo("bridge", "secret")}, tt.client...)
			js, err := jetstream.New(connectClient(t, url(servers[1]), client...))
			if err != nil {
				t.Fatal(err)
			}
			createReplicated(t, js, true)
			tt.cfg.URL, tt.cfg.AckTimeout = url(servers[0]), 2*time.Second
			sink := newSink(t, tt.cfg)
			defer closeSink(t, sink)
			events := sinktest.NewSource(1, 20).Take(100)
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			if _, err := sinktest.Pump(ctx, sink, events[:50], 50); err != nil {
				t.Fatal(err)
			}
			servers[0].stop()
			if _, err := sinktest.Pump(ctx, sink, events[50:], 50); err != nil {
				t.Fatalf("after the only configured server was gone: %v", err)
			}
			if r := sinktest.Check(events, readStream(t, url(servers[1]), client...)); !r.OK() {
				t.Errorf("stored events: %+v", r)
			}
		})
	}
}

// TestServersOrder: a server that fails is tried after the others, and a configured one
// before one that was announced.
func TestServersOrder(t *testing.T) {
	s := newServers("nats://user:secret@a.example.com:4222")
	hosts := func() string {
		var list []string
		for _, one := range s.order() {
			list = append(list, one.url.Host)
		}
		return strings.Join(list, " ")
	}
	want := func(want string) {
		t.Helper()
		if got := hosts(); got != want {
			t.Errorf("servers in order: %s, want %s", got, want)
		}
	}
	first := s.order()[0]
	s.learn(&first, true, []string{"tls://10.0.0.2:4222", "tls://a.example.com:4222", "tls://c.example.com:4222"})
	s.learn(&first, true, []string{"tls://10.0.0.2:4222"})
	want("a.example.com:4222 10.0.0.2:4222 c.example.com:4222")
	for _, one := range s.order()[1:] {
		name := map[string]string{"10.0.0.2:4222": "a.example.com"}[one.url.Host]
		if one.url.User.String() != "user:secret" || !one.secure || one.tlsName != name {
			t.Errorf("announced server %s: credentials %v, TLS %t with name %q, want name %q", one.url.Host, one.url.User, one.secure, one.tlsName, name)
		}
	}
	s.note(&first, true)
	want("10.0.0.2:4222 c.example.com:4222 a.example.com:4222")
	second := s.order()[0]
	s.note(&second, true)
	want("c.example.com:4222 a.example.com:4222 10.0.0.2:4222")
	s.note(&first, false)
	want("a.example.com:4222 c.example.com:4222 10.0.0.2:4222")
	var many []string
	for i := range 2 * maxAnnounced {
		many = append(many, fmt.Sprintf("tls://10.0.1.%d:4222", i))
	}
	s.learn(&second, true, many)
	if list := s.order(); len(list) != 1+maxAnnounced || list[0].url.Host != first.url.Host {
		t.Errorf("%d servers, the first is %s, want %d with the configured one", len(list), list[0].url.Host, 1+maxAnnounced)
	}
}
