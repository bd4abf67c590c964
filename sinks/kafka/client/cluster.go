package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// metadataAge is how old the metadata may be when a delivery begins. Older metadata are
// only found to be wrong by an error, and added partitions would not be used.
const metadataAge = time.Minute

// Options is what code gives to a cluster. The zero value works.
type Options struct {
	// Logger gets what is found out about topics; nil means silence.
	Logger *slog.Logger
	// Connected, if not nil, is called for each connection that was made, from any
	// goroutine.
	Connected func()
}

// Cluster is what is known of a Kafka cluster, and the connections to it. Close may be
// called at any time; Produce and Resting may be called concurrently with each other.
type Cluster struct {
	cfg  Config
	log  *slog.Logger
	pool *pool

	controller Node
	topics     map[string]*Topic
	// refreshed is when the metadata were asked for, source the node that answered. After
	// a failure, distrusted is set: the source may have been cut off from the others, and
	// is asked after them.
	refreshed  time.Time
	source     Node
	distrusted bool
}

// New returns a cluster that is not connected yet.
func New(cfg Config, options Options) *Cluster {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Connected == nil {
		options.Connected = func() {}
	}
	c := &Cluster{cfg: cfg, log: options.Logger, topics: map[string]*Topic{}}
	c.pool = newPool(&c.cfg, options.Connected)
	return c
}

// Close ends all connections. Requests that are under way fail.
func (c *Cluster) Close() { c.pool.close() }

// Disconnect ends all connections. The next request makes new ones.
func (c *Cluster) Disconnect() { c.pool.dropAll() }

// Resting returns why a node gets no batch now, or nil. A broker that has kept silent for
// the whole of ack_timeout is left alone for as long again, so that batches for other
// brokers need not wait for it each time.
func (c *Cluster) Resting(n Node) error { return c.pool.resting(n) }

// Stale reports whether the metadata are too old to begin a delivery with.
func (c *Cluster) Stale() bool {
	return time.Since(c.refreshed) > metadataAge && len(c.topics) > 0
}

// Distrust makes the metadata stale, and the next Refresh ask another broker than the
// last.
func (c *Cluster) Distrust() { c.refreshed, c.distrusted = time.Time{}, true }

// ask sends a request to whichever node answers. When none does, the error is the one
// that says most.
func (c *Cluster) ask(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	answer, _, err := c.askFirst(ctx, m)
	return answer, err
}

// askController sends a request to the controller, as far as it is known. Brokers from
// before KRaft do not pass on what is for it.
func (c *Cluster) askController(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	if !c.pool.has(c.controller) {
		return c.ask(ctx, m)
	}
	answer, _, err := c.pool.ask(ctx, Socket{Node: c.controller}, m)
	return answer, err
}

// askFirst is ask, and also returns the node that has answered.
func (c *Cluster) askFirst(ctx context.Context, m protocol.Message) (protocol.Message, Node, error) {
	last := NoLeader
	if c.distrusted {
		last = c.source
	}
	var worst error
	for _, n := range c.pool.candidates(last) {
		answer, _, err := c.pool.ask(ctx, Socket{Node: n}, m)
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
	return nil, NoLeader, worst
}

// Refresh asks for the brokers, and for the leaders of all partitions of the known
// topics.
func (c *Cluster) Refresh(ctx context.Context) error {
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
	c.source, c.distrusted, c.controller = source, false, Node(answer.ControllerID)
	brokers := map[Node]string{}
	for _, b := range answer.Brokers {
		brokers[Node(b.NodeID)] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	c.pool.update(brokers)
	for i := range answer.Topics {
		a := &answer.Topics[i]
		if t := c.topics[a.Name]; t != nil {
			leaders, replicas := leadersOf(a)
			t.update(Code(a.ErrorCode), leaders, replicas, c.cfg.AckTimeout)
		}
	}
	c.refreshed = time.Now()
	return nil
}

// leadersOf returns the leaders by partition, and the largest number of replicas.
func leadersOf(a *metadata.ResponseTopic) (leaders []Node, replicas int) {
	leaders = make([]Node, len(a.Partitions))
	for i := range leaders {
		leaders[i] = NoLeader
	}
	for i := range a.Partitions {
		p := &a.Partitions[i]
		if p.PartitionIndex < 0 || int(p.PartitionIndex) >= len(leaders) {
			continue
		}
		if p.LeaderID >= 0 {
			leaders[p.PartitionIndex] = Node(p.LeaderID)
		}
		replicas = max(replicas, len(p.ReplicaNodes))
	}
	return leaders, replicas
}

// ProducerID is how a broker knows the sender of a sequence of batches.
type ProducerID struct {
	ID    int64
	Epoch int16
}

// NewProducerID asks for a producer id. Any broker can give one.
func (c *Cluster) NewProducerID(ctx context.Context) (ProducerID, error) {
	m, err := c.ask(ctx, &initproducerid.Request{
		// The timeout has no meaning without a transaction.
		TransactionTimeoutMs: int32(time.Minute.Milliseconds()),
		ProducerID:           -1, ProducerEpoch: -1,
	})
	if err != nil {
		return ProducerID{}, err
	}
	answer, ok := m.(*initproducerid.Response)
	switch {
	case !ok:
		return ProducerID{}, fmt.Errorf("unexpected answer %T", m)
	case answer.ErrorCode != 0:
		return ProducerID{}, &CodeError{Code: Code(answer.ErrorCode), What: "producer id"}
	}
	return ProducerID{answer.ProducerID, answer.ProducerEpoch}, nil
}
