package client

import (
	"fmt"
	"time"
)

// Topic is what is known of a topic. Only [Cluster.Refresh] and [Cluster.Open] change it.
type Topic struct {
	Name string
	// Leaders are the leaders by partition: [NoLeader] where there is none now.
	Leaders []Node
	// Generation rises when the topic was deleted and created again with fewer
	// partitions.
	Generation int
	Fit        Fit
	// Err is why the topic cannot be used, by the last metadata.
	Err error

	replicas int
	// fewer is since when the metadata have had fewer partitions than Leaders has; zero
	// means that they have not.
	fewer time.Time
}

// Fit describes how a topic suits.
type Fit struct {
	Topic string
	// Created is set when the topic did not exist and has just been created.
	Created    bool
	Partitions int
	Replicas   int
	// MinInsync, Cleanup and MaxMessage are the topic's settings; 0 and "" when this user
	// may not read them.
	MinInsync  int
	Cleanup    string
	MaxMessage int
	// Advice names what works but could be better, and how. Lower-case phrases.
	Advice []string
}

// Leader returns the leader of a partition, or [NoLeader].
func (t *Topic) Leader(partition int32) Node {
	if int(partition) < len(t.Leaders) {
		return t.Leaders[partition]
	}
	return NoLeader
}

// Partition returns the name of a partition, for people to read.
func (t *Topic) Partition(id int32) string { return fmt.Sprintf("partition %d of %s", id, t.Name) }

// leaderless forgets all leaders.
func (t *Topic) leaderless() {
	for i := range t.Leaders {
		t.Leaders[i] = NoLeader
	}
}

// update takes in the metadata of the topic. Metadata with fewer partitions than before
// are believed after patience: the broker that answers may have been away while
// partitions were added.
func (t *Topic) update(answer Code, leaders []Node, replicas int, patience time.Duration) {
	t.Err = nil
	if answer != CodeNone {
		t.Err = &CodeError{Code: answer, What: "topic " + t.Name}
		t.leaderless()
		return
	}
	had, has := len(t.Leaders), len(leaders)
	switch {
	case has >= had:
		t.fewer = time.Time{}
	case t.fewer.IsZero():
		t.fewer = time.Now()
	}
	if has < had && time.Since(t.fewer) < patience {
		t.Err = &CodeError{
			Code: CodeLeaderNotAvailable, What: "topic " + t.Name,
			Message: fmt.Sprintf("%d of %d partitions are known", has, had),
		}
		t.leaderless()
		return
	}
	if has < had {
		t.Generation++
		t.fewer = time.Time{}
	}
	t.Leaders = append(t.Leaders[:0], leaders...)
	t.replicas = max(t.replicas, replicas)
}
