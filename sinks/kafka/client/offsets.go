package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/virtcast/virtcast/internal/retry"
)

// Timestamps that ask for an end of a partition instead of a time.
const (
	newest = -1
	oldest = -2
)

// From is where to begin to read. The zero value begins with what is published from now
// on.
type From struct {
	// Oldest begins with the oldest record, Since with the first that is not older.
	Oldest bool
	Since  time.Time
}

// Range is the records of a partition that are to be read.
type Range struct {
	Topic     string
	Partition int
	// Start is the first offset to be read, End the one after the last record that
	// exists.
	Start, End int64
}

// Topics returns the names of all topics that match, sorted. what names them in the error
// for none.
func (c *Cluster) Topics(ctx context.Context, what string, match func(name string) bool) ([]string, error) {
	m, err := c.ask(ctx, &metadata.Request{}) // no names: every topic
	if err != nil {
		return nil, err
	}
	answer, ok := m.(*metadata.Response)
	if !ok {
		return nil, fmt.Errorf("unexpected answer %T", m)
	}
	var names []string
	for i := range answer.Topics {
		if a := &answer.Topics[i]; !a.IsInternal && match(a.Name) {
			names = append(names, a.Name)
		}
	}
	if len(names) == 0 {
		return nil, &CodeError{Code: CodeUnknownTopic, What: "topics " + what}
	}
	slices.Sort(names)
	return names, nil
}

// Ranges finds the partitions of topics, and where to begin in each.
func (c *Cluster) Ranges(ctx context.Context, topics []string, from From) ([]Range, error) {
	var all []Range
	for _, name := range topics {
		t := &Topic{Name: name}
		c.topics[name] = t
		if err := c.find(ctx, t); err != nil {
			return nil, err
		}
		for id := range t.Leaders {
			r, err := c.rangeOf(ctx, t, int32(id), from)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// rangeOf finds where to begin in a partition.
func (c *Cluster) rangeOf(ctx context.Context, t *Topic, id int32, from From) (Range, error) {
	r := Range{Topic: t.Name, Partition: int(id)}
	var err error
	if r.End, err = c.offset(ctx, t, id, newest); err != nil {
		return r, err
	}
	switch {
	case from.Oldest:
		r.Start, err = c.offset(ctx, t, id, oldest)
	case !from.Since.IsZero():
		r.Start, err = c.offset(ctx, t, id, from.Since.UnixMilli())
		if r.Start < 0 { // nothing is as new
			r.Start = r.End
		}
	default:
		r.Start = r.End
	}
	return r, err
}

// offset asks a partition's leader for the offset of a time in milliseconds since 1970,
// of oldest, or of newest. It is -1 for a time that is newer than every record.
func (c *Cluster) offset(ctx context.Context, t *Topic, id int32, timestamp int64) (int64, error) {
	request := &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{
		Topic: t.Name,
		Partitions: []listoffsets.RequestPartition{{
			Partition: id, CurrentLeaderEpoch: -1, Timestamp: timestamp,
		}},
	}}}
	deadline := time.Now().Add(c.cfg.AckTimeout)
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		answer, err := c.offsetOnce(ctx, t, id, request)
		if err == nil || IsFatal(err) || ctx.Err() != nil || time.Now().Add(pause).After(deadline) {
			return answer, err
		}
		if err := retry.Sleep(ctx, pause); err != nil {
			return 0, err
		}
		if err := c.Refresh(ctx); err != nil {
			return 0, err
		}
	}
}

// offsetOnce asks for an offset once.
func (c *Cluster) offsetOnce(ctx context.Context, t *Topic, id int32, request *listoffsets.Request) (int64, error) {
	leader := t.Leader(id)
	if leader == NoLeader {
		return 0, &CodeError{Code: CodeLeaderNotAvailable, What: t.Partition(id)}
	}
	m, _, err := c.pool.ask(ctx, Socket{Node: leader}, request)
	if err != nil {
		return 0, err
	}
	answer, ok := m.(*listoffsets.Response)
	if !ok || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("%s: unexpected answer %T", t.Partition(id), m)
	}
	a := answer.Topics[0].Partitions[0]
	if a.ErrorCode != 0 {
		return 0, &CodeError{Code: Code(a.ErrorCode), What: "offsets of " + t.Partition(id)}
	}
	return a.Offset, nil
}
