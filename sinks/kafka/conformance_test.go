package kafka

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	for _, content := range []Content{ContentBinary, ContentStructured} {
		t.Run(string(content), func(t *testing.T) {
			sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture { return fixture(t, content) }})
		})
	}
}

// fixture is a cluster of three brokers.
func fixture(t *testing.T, content Content) sinktest.Fixture {
	c := startCluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "65536"}))
	cfg := c.config()
	cfg.Content = content
	return sinktest.Fixture{
		Open:     func(t *testing.T) sinktest.Sink { return newSink(t, cfg) },
		Read:     func(t *testing.T) []schema.Event { return c.events(t, DefaultTopic) },
		TooLarge: 64 << 10,
		Break: []sinktest.Break{
			{Name: "cut connections", Do: func(*testing.T) {
				c.wires.cutAfter(1 + rand.IntN(500_000))
				time.Sleep(20 * time.Millisecond)
			}},
			{Name: "reset connections", Do: func(*testing.T) {
				c.wires.cut()
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
		Stall: func(*testing.T) { c.wires.stop() },
		// A new producer cannot know what the one before it has stored; while one lives, nothing is stored twice.
		Repeats: strings.HasSuffix(t.Name(), "/restart"),
		Events:  10_000,
	}
}
