package kafka

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	for _, content := range []Content{ContentBinary, ContentStructured} {
		t.Run(string(content), func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture {
				c := startCluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}))
				cfg := c.config()
				cfg.Content = content
				f := c.fixture(cfg, func(t *testing.T, cfg Config) connector { return newSink(t, cfg) })
				// A new producer cannot know what the one before it has stored. While one
				// lives, nothing is stored twice.
				f.Repeats = strings.HasSuffix(t.Name(), "/restart")
				return f
			}})
		})
	}
}

type connector interface {
	bridge.Connector
	Close() error
}

var (
	_ bridge.Connector = (*Sink)(nil)
	_ bridge.Connector = (*StateStore)(nil)
)

// fixture is a cluster of three brokers, and a sink for it.
func (c *testCluster) fixture(cfg Config, open func(t *testing.T, cfg Config) connector) sinktest.Fixture {
	return sinktest.Fixture{
		Open:     func(t *testing.T) sinktest.Sink { return open(t, cfg) },
		Read:     func(t *testing.T) []schema.Event { return c.events(t, DefaultTopic) },
		TooLarge: 64 << 10,
		Break: []sinktest.Break{
			{Name: "cut connections", Do: func(*testing.T) {
				c.taps.cutAfter(1 + rand.IntN(500_000))
				time.Sleep(20 * time.Millisecond)
			}},
			{Name: "reset connections", Do: func(*testing.T) {
				c.taps.cut()
				time.Sleep(20 * time.Millisecond)
			}},
			{Name: "move leaders", Do: func(t *testing.T) {
				for p := range int32(6) {
					if err := c.MoveTopicPartition(DefaultTopic, p, rand.Int32N(3)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(20 * time.Millisecond)
			}},
		},
		Jam: func(*testing.T) sinktest.Jam {
			fault := c.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{2}, Err: kerr.NotEnoughReplicas, Count: -1,
			})
			return sinktest.Jam{
				Affects: func(e *schema.Event) bool { return at(e, 6) == 2 },
				Free:    func() { fault.Remove() },
			}
		},
		Stall:  func(*testing.T) { c.taps.stop() },
		Events: 10_000,
	}
}
