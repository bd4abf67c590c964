package nats

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	for _, content := range []Content{ContentStructured, ContentBinary} {
		for _, batch := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/batch=%t", content, batch), func(t *testing.T) {
				sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture { return fixture(t, content, batch) }})
			})
		}
	}
}

// connector is what both the sink and the state store are.
type connector interface {
	bridge.Connector
	Close() error
}

var (
	_ connector = (*Sink)(nil)
	_ connector = (*StateStore)(nil)
)

// fixture is a JetStream server behind a proxy.
func fixture(t *testing.T, content Content, batch bool) sinktest.Fixture {
	srv := startServer(t, jamServer(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	p := startProxy(t, srv.Addr().String())
	createStream(t, connectClient(t, srv.ClientURL()), func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batch })
	cfg := Config{URL: p.url(), Username: jamUser, Password: jamPassword, Content: content, AckTimeout: 2 * time.Second}
	return sinktest.Fixture{
		Open:     func(t *testing.T) sinktest.Sink { return newSink(t, cfg) },
		Read:     func(t *testing.T) []schema.Event { return readStream(t, srv.ClientURL()) },
		TooLarge: 64 << 10,
		Break: []sinktest.Break{
			{Name: "cut connection", Do: func(*testing.T) {
				p.cutAfter(1 + rand.IntN(2_000_000))
				time.Sleep(100 * time.Millisecond)
			}},
			{Name: "reset connection", Do: func(*testing.T) {
				p.cut()
				time.Sleep(100 * time.Millisecond)
			}},
			{Name: "restart server", Do: func(t *testing.T) {
				srv.restart(t)
				time.Sleep(100 * time.Millisecond)
			}},
		},
		Jam:    srv.jam,
		Stall:  func(*testing.T) { p.stall() },
		Events: 2000,
	}
}

func TestCoreConformance(t *testing.T) {
	for _, content := range []Content{ContentStructured, ContentBinary} {
		t.Run(string(content), func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture { return coreFixture(t, content) }})
		})
	}
}

// coreFixture is a server behind a proxy, and a subscriber that reads from the server
// itself.
func coreFixture(t *testing.T, content Content) sinktest.Fixture {
	srv := startServer(t, jamServer(func(o *server.Options) { o.JetStream, o.MaxPayload = false, 64<<10 }))
	p := startProxy(t, srv.Addr().String())
	nc := connectClient(t, srv.ClientURL())
	sub, err := nc.SubscribeSync("virt.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	var events []schema.Event
	cfg := Config{
		URL: p.url(), Username: jamUser, Password: jamPassword, Mode: ModeCore, Content: content, AckTimeout: 2 * time.Second,
	}
	return sinktest.Fixture{
		Open: func(t *testing.T) sinktest.Sink { return newSink(t, cfg) },
		Read: func(t *testing.T) []schema.Event {
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			for {
				m, err := sub.NextMsg(100 * time.Millisecond)
				if err != nil {
					return events
				}
				events = append(events, decode(t, m.Subject, m.Header, m.Data))
			}
		},
		TooLarge: 64 << 10,
		Break: []sinktest.Break{{Name: "cut connection", Do: func(*testing.T) {
			p.cutAfter(1 + rand.IntN(1_000_000))
			time.Sleep(50 * time.Millisecond)
		}}},
		Jam:     srv.jam,
		Stall:   func(*testing.T) { p.stall() },
		Repeats: true,
		Events:  2000,
	}
}
