package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/lab"
)

// chaos ends and stops the brokers of a cluster of three that lead a topic, at random,
// again and again.
type chaos struct {
	cluster *lab.KafkaCluster
	topic   string
	// partitions is their number.
	partitions int

	kills, pauses int
	// together counts the times at which two brokers of three were away: then the
	// controllers have no quorum, and no broker may acknowledge.
	together int
	// unhealed counts the blows that fell before all replicas were in sync again.
	unhealed int
}

// blows are what may happen to a cluster.
var blows = []struct {
	name   string
	strike func(*chaos, *testing.T)
}{
	// The others notice at once, since its connections end.
	{"kill", func(c *chaos, t *testing.T) {
		n := c.leader(t)
		c.kill(t, n)
		between(300*time.Millisecond, 4*time.Second)
		c.cluster.Start(t, n)
	}},
	// The pause is too short for the controller to notice: the same leader answers late.
	// If a request was sent twice, the leader answers it twice.
	{"hiccup", func(c *chaos, t *testing.T) {
		n := c.leader(t)
		c.pause(t, n)
		between(100*time.Millisecond, 2500*time.Millisecond)
		c.cluster.Resume(t, n)
	}},
	// The pause is long enough for another broker to take over: the old leader comes back
	// with requests in its buffers, and still believes that it leads.
	{"zombie", func(c *chaos, t *testing.T) {
		n := c.leader(t)
		c.pause(t, n)
		between(4*time.Second, 9*time.Second)
		c.cluster.Resume(t, n)
	}},
	// A leader comes back while its successor is dead.
	{"succession", func(c *chaos, t *testing.T) {
		first := c.leader(t)
		c.pause(t, first)
		between(3500*time.Millisecond, 6*time.Second)
		second := c.leader(t)
		if second == first {
			c.cluster.Resume(t, first)
			return
		}
		c.kill(t, second)
		c.together++
		between(0, 2*time.Second)
		c.cluster.Resume(t, first)
		between(0, 2*time.Second)
		c.cluster.Start(t, second)
	}},
	// Brokers answer that there are too few replicas, or that there is no leader.
	{"double", func(c *chaos, t *testing.T) {
		first := c.leader(t)
		second := (first + 1 + rand.IntN(2)) % 3
		c.kill(t, first)
		between(0, time.Second)
		c.kill(t, second)
		c.together++
		between(time.Second, 3*time.Second)
		c.cluster.Start(t, second)
		between(0, time.Second)
		c.cluster.Start(t, first)
	}},
}

// run deals blows until the time is over, each kind at least once. All brokers run when
// it returns.
func (c *chaos) run(t *testing.T, length time.Duration) {
	for begin := time.Now(); time.Since(begin) < length; {
		for _, i := range rand.Perm(len(blows)) {
			if time.Since(begin) >= length && c.kills+c.pauses >= len(blows) {
				break
			}
			t.Logf("%6.1fs %s", time.Since(begin).Seconds(), blows[i].name)
			blows[i].strike(c, t)
			if rand.IntN(4) == 0 {
				c.unhealed++
				between(0, 2*time.Second)
				continue
			}
			c.heal(t)
		}
	}
	c.heal(t)
}

// heal waits until all replicas are in sync.
func (c *chaos) heal(t *testing.T) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		if n := c.cluster.InSync(t, c.topic); n != 3 {
			return fmt.Errorf("%d replicas are in sync, want 3", n)
		}
		return nil
	})
}

// leader returns the broker that leads a partition, any of them.
func (c *chaos) leader(t *testing.T) int {
	return c.cluster.Leader(t, c.topic, rand.IntN(c.partitions))
}

func (c *chaos) kill(t *testing.T, n int) {
	c.cluster.Kill(t, n)
	c.kills++
}

func (c *chaos) pause(t *testing.T, n int) {
	c.cluster.Pause(t, n)
	c.pauses++
}

// between waits for a random time.
func between(shortest, longest time.Duration) { time.Sleep(shortest + rand.N(longest-shortest)) }
