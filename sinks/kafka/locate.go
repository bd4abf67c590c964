package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Timestamps that ask for an end of a partition instead of a time.
const (
	newest = -1
	oldest = -2
)

// located is a partition to be followed.
type located struct {
	topic     string
	partition int
	// start is the first offset to be read, end the one after the last record that is there.
	start, end int64
}

// locate finds the partitions of all topics that the template can make, and where to begin in each.
func (c *cluster) locate(ctx context.Context, t template, opts FollowOptions) ([]located, error) {
	name, fixed := t.fixed()
	names := []string{name}
	if !fixed {
		var err error
		if names, err = c.matching(ctx, t); err != nil {
			return nil, err
		}
	}
	var all []located
	for _, name := range names {
		topic := &topic{name: name}
		c.topics[name] = topic
		if err := c.find(ctx, topic); err != nil {
			return nil, err
		}
		for _, p := range topic.partitions {
			l := located{topic: name, partition: int(p.id)}
			var err error
			if l.end, err = c.offset(ctx, p, newest); err != nil {
				return nil, err
			}
			switch {
			case opts.All:
				l.start, err = c.offset(ctx, p, oldest)
			case !opts.Since.IsZero():
				l.start, err = c.offset(ctx, p, opts.Since.UnixMilli())
				if l.start < 0 { // nothing is as new
					l.start = l.end
				}
			default:
				l.start = l.end
			}
			if err != nil {
				return nil, err
			}
			all = append(all, l)
		}
	}
	return all, nil
}

// matching returns the topics that the template can make, sorted.
func (c *cluster) matching(ctx context.Context, t template) ([]string, error) {
	m, err := c.askAny(ctx, &metadata.Request{}) // no names: every topic
	if err != nil {
		return nil, err
	}
	answer, ok := m.(*metadata.Response)
	if !ok {
		return nil, fmt.Errorf("unexpected answer %T", m)
	}
	var names []string
	made := t.pattern()
	for i := range answer.Topics {
		if a := &answer.Topics[i]; !a.IsInternal && made.MatchString(a.Name) {
			names = append(names, a.Name)
		}
	}
	if len(names) == 0 {
		return nil, &codeError{code: codeUnknownTopic, what: "topics " + t.String()}
	}
	slices.Sort(names)
	return names, nil
}

// offset asks a partition's leader for the offset of a time in milliseconds since 1970, of oldest, or of newest. It
// is -1 for a time that is newer than every record.
func (c *cluster) offset(ctx context.Context, p *partition, timestamp int64) (int64, error) {
	request := &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{
		Topic: p.topic.name,
		Partitions: []listoffsets.RequestPartition{{
			Partition: p.id, CurrentLeaderEpoch: -1, Timestamp: timestamp,
		}},
	}}}
	deadline := time.Now().Add(c.cfg.AckTimeout)
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		answer, err := c.offsetOnce(ctx, p, request)
		if err == nil || isFatal(err) || ctx.Err() != nil || time.Now().Add(pause).After(deadline) {
			return answer, err
		}
		if err := sleep(ctx, pause); err != nil {
			return 0, err
		}
		if err := c.refresh(ctx); err != nil {
			return 0, err
		}
	}
}

func (c *cluster) offsetOnce(ctx context.Context, p *partition, request *listoffsets.Request) (int64, error) {
	if p.leader == noLeader {
		return 0, &codeError{code: codeLeaderNotAvailable, what: p.String()}
	}
	m, _, err := c.ask(ctx, socket{node: p.leader}, request)
	if err != nil {
		return 0, err
	}
	answer, ok := m.(*listoffsets.Response)
	if !ok || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("%s: unexpected answer %T", p, m)
	}
	a := answer.Topics[0].Partitions[0]
	if a.ErrorCode != 0 {
		return 0, &codeError{code: code(a.ErrorCode), what: "offsets of " + p.String()}
	}
	return a.Offset, nil
}
