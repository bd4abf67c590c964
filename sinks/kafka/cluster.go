package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// metadataAge is how old what is known of the cluster may be when a Deliver begins. Older metadata is
// only found to be wrong by an error; and partitions that were added would not be used.
const metadataAge = time.Minute

// node names a broker: its id, or a negative number for an address of the configuration.
type node int32

// noLeader stands for the leader of a partition that has none.
const noLeader node = -1

// seed is the node of the i-th configured address.
func seed(i int) node { return node(-2 - i) }

// cluster is what is known of a Kafka cluster, and the connections to it. Only close may be called at
// any time; link, drop and produce may be called concurrently with each other.
type cluster struct {
	cfg     Config
	use     use
	log     *slog.Logger
	metrics *metrics

	mu     sync.Mutex // guards what follows
	links  map[socket]*link
	failed map[node]bool // could not be connected to, or did not answer, the last time
	closed bool

	// The rest belongs to Deliver.
	addresses  map[node]string
	controller node
	topics     map[string]*topic
	// refreshed is when the cluster was asked about them, source who answered. After a failure, doubted is set: the
	// source may have been cut off from the others, and is asked after them.
	refreshed time.Time
	source    node
	doubted   bool
	// shrunk is set when a topic lost partitions: it was made anew.
	shrunk bool
}

// topic is what is known of a topic.
type topic struct {
	name       string
	partitions []*partition
	replicas   int
	fit        Fit
	// err is why the topic cannot be used, as the last metadata has it.
	err error
	// fewer is since when the metadata have fewer partitions than there are here; zero is not at all.
	fewer time.Time
}

func newCluster(cfg Config, u use, log *slog.Logger, m *metrics) *cluster {
	c := &cluster{
		cfg: cfg, use: u, log: log, metrics: m, links: map[socket]*link{}, failed: map[node]bool{},
		addresses: map[node]string{}, topics: map[string]*topic{},
	}
	for i, address := range cfg.Brokers {
		c.addresses[seed(i)] = address
	}
	return c
}

// askAny sends a request to whichever node answers. When none does, the error is the one that says most.
func (c *cluster) askAny(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	answer, _, err := c.askFirst(ctx, m)
	return answer, err
}

// askController sends a request to the controller, as far as it is known. Brokers from before KRaft do not pass on what is
// for it.
func (c *cluster) askController(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	if c.addresses[c.controller] == "" {
		return c.askAny(ctx, m)
	}
	answer, _, err := c.ask(ctx, socket{node: c.controller}, m)
	return answer, err
}

// askFirst is askAny, and says who has answered.
func (c *cluster) askFirst(ctx context.Context, m protocol.Message) (protocol.Message, node, error) {
	var worst error
	for _, n := range c.candidates() {
		answer, _, err := c.ask(ctx, socket{node: n}, m)
		if err == nil {
			return answer, n, nil
		}
		if ctx.Err() != nil {
			return nil, n, context.Cause(ctx)
		}
		if errors.Is(err, ErrClosed) {
			return nil, n, err
		}
		var dial *dialError
		if worst == nil || errors.As(worst, &dial) {
			worst = err
		}
	}
	return nil, noLeader, worst
}

// candidates returns the nodes in the order in which they are worth asking: connected ones, known
// brokers, the one whose answers are in doubt, configured addresses; those that failed the last time come last.
func (c *cluster) candidates() []node {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := make([]node, 0, len(c.addresses))
	known := map[string]bool{}
	for n, address := range c.addresses {
		known[address] = known[address] || n >= 0
	}
	for n, address := range c.addresses {
		if n >= 0 || !known[address] {
			nodes = append(nodes, n)
		}
	}
	rank := func(n node) int {
		switch {
		case c.failed[n]:
			return 4
		case n < 0:
			return 3
		case c.doubted && n == c.source:
			return 2
		case c.links[socket{node: n}] != nil:
			return 0
		}
		return 1
	}
	slices.SortFunc(nodes, func(a, b node) int {
		if r := rank(a) - rank(b); r != 0 {
			return r
		}
		if a < 0 && b < 0 {
			return int(b - a) // In the order of the configuration.
		}
		return int(a - b)
	})
	return nodes
}

// refresh asks for the leaders of all partitions of the topics that are known.
func (c *cluster) refresh(ctx context.Context) error {
	names := make([]string, 0, len(c.topics))
	for name := range c.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	m, source, err := c.askFirst(ctx, &metadata.Request{TopicNames: names})
	if err != nil {
		return err
	}
	answer, ok := m.(*metadata.Response)
	if !ok {
		return fmt.Errorf("unexpected answer %T", m)
	}
	c.source, c.doubted, c.controller = source, false, node(answer.ControllerID)
	known := map[node]bool{}
	for _, b := range answer.Brokers {
		n := node(b.NodeID)
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		known[n] = true
		if c.addresses[n] != address {
			c.forget(n)
			c.addresses[n] = address
		}
	}
	for n := range c.addresses {
		if n >= 0 && !known[n] {
			c.forget(n)
		}
	}
	if len(known) > 0 {
		c.adopt()
	}
	for i := range answer.Topics {
		if t := c.topics[answer.Topics[i].Name]; t != nil {
			c.update(ctx, t, &answer.Topics[i])
		}
	}
	c.refreshed = time.Now()
	return nil
}

// doubt makes the next refresh ask another broker than the last one did, and soon.
func (c *cluster) doubt() { c.refreshed, c.doubted = time.Time{}, true }

// forget removes a broker that has left, or has moved to another address.
func (c *cluster) forget(n node) {
	delete(c.addresses, n)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, n)
	for s, l := range c.links {
		if s.node == n {
			l.close()
			delete(c.links, s)
		}
	}
}

// update takes in what the cluster says of a topic.
func (c *cluster) update(ctx context.Context, t *topic, m *metadata.ResponseTopic) {
	t.err = nil
	if m.ErrorCode != 0 {
		t.err = &codeError{code: code(m.ErrorCode), what: "topic " + t.name}
		for _, p := range t.partitions {
			p.leader = noLeader
		}
		return
	}
	had, has := len(t.partitions), len(m.Partitions)
	if has >= had {
		t.fewer = time.Time{}
	} else if t.fewer.IsZero() {
		t.fewer = time.Now()
	}
	switch {
	case has < had && time.Since(t.fewer) < c.cfg.AckTimeout:
		// The one who answers may have been away while partitions were added.
		t.err = &codeError{code: codeLeaderNotAvailable, what: "topic " + t.name, message: fmt.Sprintf("%d of %d partitions are known", has, had)}
		for _, p := range t.partitions {
			p.leader = noLeader
		}
		return
	case has < had:
		// What was under way to it has no place any more; the events come again.
		c.log.WarnContext(ctx, "kafka topic was made anew, with fewer partitions", "topic", t.name, "had", had, "has", has)
		for _, p := range t.partitions {
			p.gone = true
		}
		t.partitions, t.fewer, c.shrunk = nil, time.Time{}, true
	case had > 0 && has > had:
		c.log.WarnContext(ctx, "kafka topic has more partitions than before: domains move among them, and the order of a "+
			"domain's events holds within each partition only", "topic", t.name, "had", had, "has", has)
	}
	for i := len(t.partitions); i < has; i++ {
		p := newPartition(t, int32(i))
		p.limit(t.fit.MaxMessage)
		t.partitions = append(t.partitions, p)
	}
	for _, mp := range m.Partitions {
		if mp.PartitionIndex < 0 || int(mp.PartitionIndex) >= has {
			continue
		}
		p := t.partitions[mp.PartitionIndex]
		p.leader = node(mp.LeaderID)
		if mp.LeaderID < 0 {
			p.leader = noLeader
		}
		t.replicas = max(t.replicas, len(mp.ReplicaNodes))
	}
}

// newProducer asks for a producer id. Any broker can give one.
func (c *cluster) newProducer(ctx context.Context) (producerID, error) {
	m, err := c.askAny(ctx, &initproducerid.Request{
		TransactionTimeoutMs: int32(time.Minute.Milliseconds()), // of no meaning without a transaction
		ProducerID:           -1, ProducerEpoch: -1,
	})
	if err != nil {
		return producerID{}, err
	}
	answer, ok := m.(*initproducerid.Response)
	switch {
	case !ok:
		return producerID{}, fmt.Errorf("unexpected answer %T", m)
	case answer.ErrorCode != 0:
		return producerID{}, &codeError{code: code(answer.ErrorCode), what: "producer id"}
	}
	return producerID{answer.ProducerID, answer.ProducerEpoch}, nil
}
