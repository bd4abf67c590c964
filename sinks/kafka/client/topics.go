package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"

	"github.com/virtcast/virtcast/internal/retry"
)

// Settings of a topic that are looked at.
const (
	minInsyncKey  = "min.insync.replicas"
	cleanupKey    = "cleanup.policy"
	maxMessageKey = "max.message.bytes"
)

// resourceTopic is the type of a topic among the resources that have settings.
const resourceTopic = 2

// smallMessage is the size below which a topic's limit may be too small for an event:
// CloudEvents asks every intermediary to take 64 KiB.
const smallMessage = 64 << 10

// Open returns a topic with the leaders of its partitions. It asks the cluster about a
// topic that is not known yet, creates one that is missing where the configuration wants
// that, and fails for one that does not fit.
func (c *Cluster) Open(ctx context.Context, name string) (*Topic, error) {
	if t := c.topics[name]; t != nil && len(t.Leaders) > 0 {
		return t, nil
	}
	t := c.topics[name]
	if t == nil {
		t = &Topic{Name: name}
		c.topics[name] = t
	}
	if err := c.find(ctx, t); err != nil {
		delete(c.topics, name)
		return nil, err
	}
	if err := c.inspect(ctx, t); err != nil {
		delete(c.topics, name)
		return nil, err
	}
	c.log.InfoContext(ctx, "kafka topic found", "topic", name, "partitions", len(t.Leaders),
		"replicas", t.replicas, "created", t.Fit.Created)
	for _, advice := range t.Fit.Advice {
		c.log.WarnContext(ctx, "kafka topic could suit better", "topic", name, "advice", advice)
	}
	return t, nil
}

// find fills in the leaders of a topic's partitions.
func (c *Cluster) find(ctx context.Context, t *Topic) error {
	deadline := time.Now().Add(c.cfg.AckTimeout)
	var notCreated error
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		if err := c.Refresh(ctx); err != nil {
			return err
		}
		var e *CodeError
		missing := errors.As(t.Err, &e) && e.Code == CodeUnknownTopic
		switch {
		case t.Err == nil && len(t.Leaders) > 0:
			return nil
		case missing && c.cfg.Create == nil, e != nil && e.Code.Verdict() != Retry:
			return t.Err
		case time.Now().Add(pause).After(deadline):
			if err := cmp.Or(notCreated, t.Err); err != nil {
				return err
			}
			return &CodeError{Code: CodeLeaderNotAvailable, What: "topic " + t.Name}
		case missing && !t.Fit.Created:
			t.Fit.Created, notCreated = c.create(ctx, t)
			if notCreated != nil && !isRetry(notCreated) {
				return notCreated
			}
		}
		if err := retry.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// create creates a topic, and reports whether it did: another program may do so at the
// same time.
func (c *Cluster) create(ctx context.Context, t *Topic) (bool, error) {
	request := createtopics.RequestTopic{
		Name: t.Name, NumPartitions: int32(c.cfg.Create.Partitions), ReplicationFactor: -1,
		Configs: []createtopics.RequestConfig{{Name: cleanupKey, Value: c.cfg.Cleanup}},
	}
	if n := c.cfg.Create.Replication; n > 0 {
		request.ReplicationFactor = int16(n)
		if n >= 3 {
			request.Configs = append(request.Configs,
				createtopics.RequestConfig{Name: minInsyncKey, Value: strconv.Itoa(n - 1)})
		}
	}
	m, err := c.askController(ctx, &createtopics.Request{
		Topics:    []createtopics.RequestTopic{request},
		TimeoutMs: int32(c.cfg.brokerTimeout().Milliseconds()),
	})
	if err != nil {
		return false, err
	}
	answer, ok := m.(*createtopics.Response)
	if !ok || len(answer.Topics) == 0 {
		return false, fmt.Errorf("unexpected answer %T", m)
	}
	switch a := answer.Topics[0]; Code(a.ErrorCode) {
	case CodeNone:
		return true, nil
	case codeTopicExists:
		return false, nil
	case codeTopicAuthorization, codeClusterAuthorization:
		return false, &Error{
			Op:  "create topic " + t.Name,
			Err: &CodeError{Code: Code(a.ErrorCode), Message: a.ErrorMessage},
			Hint: fmt.Sprintf("allow user %q Create on the topic, or create the topic and remove create",
				c.cfg.SASL.Username),
		}
	default:
		return false, &CodeError{
			Code: Code(a.ErrorCode), What: "create topic " + t.Name, Message: a.ErrorMessage,
		}
	}
}

// Recreate creates topics that have been deleted meanwhile, where the configuration wants
// that.
func (c *Cluster) Recreate(ctx context.Context) error {
	if c.cfg.Create == nil {
		return nil
	}
	for _, t := range c.topics {
		var e *CodeError
		if !errors.As(t.Err, &e) || e.Code != CodeUnknownTopic {
			continue
		}
		created, err := c.create(ctx, t)
		if err != nil && !isRetry(err) {
			return err
		}
		if created {
			c.log.WarnContext(ctx, "kafka topic was deleted, and is created again", "topic", t.Name)
		}
	}
	return nil
}

// inspect fails for a topic that cannot keep the records, and notes what could be better.
func (c *Cluster) inspect(ctx context.Context, t *Topic) error {
	f := &t.Fit
	f.Topic, f.Partitions, f.Replicas = t.Name, len(t.Leaders), t.replicas
	settings, err := c.settings(ctx, t.Name)
	if err != nil {
		var e *CodeError
		if !errors.As(err, &e) {
			return err
		}
		f.Advice = append(f.Advice, "its settings are not checked: "+err.Error()+
			"; allow this user DescribeConfigs on the topic")
		return nil
	}
	f.Cleanup = settings[cleanupKey]
	f.MinInsync, _ = strconv.Atoi(settings[minInsyncKey]) // Absent or not a number: not known.
	f.MaxMessage, _ = strconv.Atoi(settings[maxMessageKey])
	misfit := func(problem, hint string) error {
		return &Error{Op: "topic " + t.Name, Err: errors.New(problem), Hint: hint}
	}
	if f.MinInsync > f.Replicas {
		return misfit(
			fmt.Sprintf("min.insync.replicas is %d, but it has %d replicas, so that nothing is ever acknowledged",
				f.MinInsync, f.Replicas),
			fmt.Sprintf("set min.insync.replicas to %d or less", max(1, f.Replicas-1)))
	}
	if c.cfg.Misfit != nil && f.Cleanup != "" {
		if problem, hint := c.cfg.Misfit(f.Cleanup); problem != "" {
			return misfit(problem, hint)
		}
	}
	f.advise()
	return nil
}

// advise adds what could be better.
func (f *Fit) advise() {
	advise := func(format string, args ...any) { f.Advice = append(f.Advice, fmt.Sprintf(format, args...)) }
	switch {
	case f.Replicas > 1 && f.MinInsync == 1:
		advise("min.insync.replicas is 1: an event that only the leader has is acknowledged, and lost with it; "+
			"set it to %d", max(2, f.Replicas-1))
	case f.Replicas > 1 && f.MinInsync == f.Replicas:
		advise("min.insync.replicas is %d, as many as there are replicas: "+
			"nothing is acknowledged while one broker is down", f.MinInsync)
	}
	if f.MaxMessage > 0 && f.MaxMessage < smallMessage {
		advise("max.message.bytes is %d: events of up to 65536 bytes should fit", f.MaxMessage)
	}
}

// settings reads the settings of a topic that are looked at.
func (c *Cluster) settings(ctx context.Context, name string) (map[string]string, error) {
	m, err := c.ask(ctx, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{{
		ResourceType: resourceTopic, ResourceName: name,
		ConfigNames: []string{minInsyncKey, cleanupKey, maxMessageKey},
	}}})
	if err != nil {
		return nil, err
	}
	answer, ok := m.(*describeconfigs.Response)
	if !ok || len(answer.Resources) == 0 {
		return nil, fmt.Errorf("unexpected answer %T", m)
	}
	r := answer.Resources[0]
	if r.ErrorCode != 0 {
		return nil, &CodeError{
			Code: Code(r.ErrorCode), What: "settings of topic " + name, Message: r.ErrorMessage,
		}
	}
	settings := map[string]string{}
	for _, e := range r.ConfigEntries {
		settings[e.ConfigName] = e.ConfigValue
	}
	return settings, nil
}
