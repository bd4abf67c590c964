package producer

import (
	"context"
	"log/slog"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// topics are the topics that are open, and their partitions.
type topics struct {
	log    *slog.Logger
	byName map[string]*topic
}

// add returns a topic that the cluster has opened.
func (t *topics) add(ctx context.Context, known *client.Topic) *topic {
	of := t.byName[known.Name]
	if of == nil {
		of = &topic{generation: known.Generation}
		t.byName[known.Name] = of
	}
	of.known = known
	t.update(ctx, of)
	if of.width == 0 {
		of.width = len(of.partitions)
	}
	return of
}

// sync takes in what has changed in the metadata. It reports whether a topic was deleted
// and created again.
func (t *topics) sync(ctx context.Context) (recreated bool) {
	for _, of := range t.byName {
		recreated = t.update(ctx, of) || recreated
	}
	return recreated
}

// update takes in what has changed in the metadata of a topic.
func (t *topics) update(ctx context.Context, of *topic) (recreated bool) {
	had, has := len(of.partitions), len(of.known.Leaders)
	if recreated = of.generation != of.known.Generation; recreated {
		// A batch that was under way to it has no place any more. Its records come again.
		t.log.WarnContext(ctx, "kafka topic was deleted, and created again with fewer partitions",
			"topic", of.known.Name, "had", had, "has", has)
		for _, part := range of.partitions {
			part.on(remove)
		}
		of.partitions, of.width, of.generation, had = nil, 0, of.known.Generation, 0
	}
	if had > 0 && has > had {
		t.log.WarnContext(ctx, "kafka topic has more partitions than before: keys move among them, "+
			"and the order of a key's records holds within each partition only",
			"topic", of.known.Name, "had", had, "has", has)
	}
	for i := len(of.partitions); i < has; i++ {
		part := newPartition(of, int32(i))
		part.limit(of.known.Fit.MaxMessage)
		of.partitions = append(of.partitions, part)
	}
	return recreated
}

// widen routes keys to all partitions of the topics that have no unconfirmed batch.
func (t *topics) widen() {
	for _, of := range t.byName {
		if of.width == len(of.partitions) {
			continue
		}
		waits := false
		for _, part := range of.partitions {
			waits = waits || part.state == unconfirmed
		}
		if !waits {
			of.width = len(of.partitions)
		}
	}
}
