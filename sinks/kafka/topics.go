package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// Settings of a topic that are looked at.
const (
	minInsyncKey  = "min.insync.replicas"
	cleanupKey    = "cleanup.policy"
	maxMessageKey = "max.message.bytes"
)

// resourceTopic is the type of a topic among the resources that have settings.
const resourceTopic = 2

// smallMessage is the size below which a topic's limit may be too small for an event: CloudEvents asks everybody
// to take 64 KiB.
const smallMessage = 64 << 10

// Fit says how a topic suits this sink.
type Fit struct {
	Topic string
	// Created is set when the sink has just made the topic.
	Created    bool
	Partitions int
	Replicas   int
	// MinInsync, Cleanup and MaxMessage are the topic's settings; 0 and "" when this user may not read them.
	MinInsync  int
	Cleanup    string
	MaxMessage int
	// Advice holds what works, but could be better, and how. Lower-case phrases.
	Advice []string
}

// use is what the topics of a cluster are for.
type use uint8

const (
	forEvents use = iota
	forStates
)

// cleanup is the cleanup.policy that topics are made with.
func (u use) cleanup() string {
	if u == forStates {
		return "compact"
	}
	return "delete"
}

// misfit says why a cleanup.policy does not suit, and what to do; "" where it does, or is not known.
func (u use) misfit(policy string) (problem, hint string) {
	switch {
	case policy == "":
	case u == forEvents && strings.Contains(policy, "compact"):
		return "cleanup.policy is " + policy + ", so that all but the last event of each domain would be deleted",
			"set cleanup.policy=delete, or set topic to another one"
	case u == forStates && policy != "compact":
		return "cleanup.policy is " + policy + ", so that the states of silent domains would be deleted with time",
			"set cleanup.policy=compact, or set state_topic to another one"
	}
	return "", ""
}

// open returns a topic with its partitions. It asks the cluster about a topic that is new here, makes one that is missing where the
// configuration says so, and fails for one that does not fit.
func (c *cluster) open(ctx context.Context, name string) (*topic, error) {
	if t := c.topics[name]; t != nil && len(t.partitions) > 0 {
		return t, nil
	}
	t := c.topics[name]
	if t == nil {
		t = &topic{name: name}
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
	c.log.InfoContext(ctx, "kafka topic found", "topic", name, "partitions", len(t.partitions), "replicas", t.replicas,
		"created", t.fit.Created)
	for _, advice := range t.fit.Advice {
		c.log.WarnContext(ctx, "kafka topic could suit better", "topic", name, "advice", advice)
	}
	return t, nil
}

// find fills in the partitions of a topic.
func (c *cluster) find(ctx context.Context, t *topic) error {
	deadline := time.Now().Add(c.cfg.AckTimeout)
	var notCreated error
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		if err := c.refresh(ctx); err != nil {
			return err
		}
		var e *codeError
		missing := errors.As(t.err, &e) && e.code == codeUnknownTopic
		switch {
		case t.err == nil && len(t.partitions) > 0:
			return nil
		case missing && c.cfg.Create == nil, e != nil && e.code.lookup().verdict != retry:
			return t.err
		case time.Now().Add(pause).After(deadline):
			if err := cmp.Or(notCreated, t.err); err != nil {
				return err
			}
			return &codeError{code: codeLeaderNotAvailable, what: "topic " + t.name}
		case missing && !t.fit.Created:
			t.fit.Created, notCreated = c.create(ctx, t)
			if notCreated != nil && !isRetry(notCreated) {
				return notCreated
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// create makes a topic, and reports whether it did: another replica of this program may do so at the same time.
func (c *cluster) create(ctx context.Context, t *topic) (bool, error) {
	request := createtopics.RequestTopic{
		Name: t.name, NumPartitions: int32(c.cfg.Create.Partitions), ReplicationFactor: -1,
		Configs: []createtopics.RequestConfig{{Name: cleanupKey, Value: c.use.cleanup()}},
	}
	if n := c.cfg.Create.Replication; n > 0 {
		request.ReplicationFactor = int16(n)
		if n >= 3 {
			request.Configs = append(request.Configs, createtopics.RequestConfig{Name: minInsyncKey, Value: strconv.Itoa(n - 1)})
		}
	}
	m, err := c.askController(ctx, &createtopics.Request{
		Topics: []createtopics.RequestTopic{request}, TimeoutMs: int32(c.brokerTimeout().Milliseconds()),
	})
	if err != nil {
		return false, err
	}
	answer, ok := m.(*createtopics.Response)
	if !ok || len(answer.Topics) == 0 {
		return false, fmt.Errorf("unexpected answer %T", m)
	}
	switch a := answer.Topics[0]; code(a.ErrorCode) {
	case codeNone:
		return true, nil
	case codeTopicExists:
		return false, nil
	case codeTopicAuthorization, codeClusterAuthorization:
		return false, &Error{
			Op: "create topic " + t.name, Err: &codeError{code: code(a.ErrorCode), message: a.ErrorMessage},
			Hint: fmt.Sprintf("allow user %q Create on the topic, or create the topic and remove create", c.cfg.SASL.Username),
		}
	default:
		return false, &codeError{code: code(a.ErrorCode), what: "create topic " + t.name, message: a.ErrorMessage}
	}
}

// remake makes topics that have been deleted meanwhile, where the configuration says so.
func (c *cluster) remake(ctx context.Context) error {
	if c.cfg.Create == nil {
		return nil
	}
	for _, t := range c.topics {
		var e *codeError
		if !errors.As(t.err, &e) || e.code != codeUnknownTopic {
			continue
		}
		created, err := c.create(ctx, t)
		if err != nil && !isRetry(err) {
			return err
		}
		if created {
			c.log.WarnContext(ctx, "kafka topic was deleted, and made anew", "topic", t.name)
		}
	}
	return nil
}

// brokerTimeout is how long a broker may take: a little less than the wait for its answer.
func (c *cluster) brokerTimeout() time.Duration { return c.cfg.AckTimeout * 4 / 5 }

// inspect fails for a topic that cannot take the events, and notes how well it takes them.
func (c *cluster) inspect(ctx context.Context, t *topic) error {
	f := &t.fit
	f.Topic, f.Partitions, f.Replicas = t.name, len(t.partitions), t.replicas
	settings, err := c.settings(ctx, t.name)
	if err != nil {
		var e *codeError
		if !errors.As(err, &e) {
			return err
		}
		f.Advice = append(f.Advice, "its settings are not checked: "+err.Error()+"; allow this user DescribeConfigs on the topic")
		return nil
	}
	f.Cleanup = settings[cleanupKey]
	f.MinInsync, _ = strconv.Atoi(settings[minInsyncKey]) // Absent or not a number: not known.
	f.MaxMessage, _ = strconv.Atoi(settings[maxMessageKey])
	misfit := func(problem, hint string) error {
		return &Error{Op: "topic " + t.name, Err: errors.New(problem), Hint: hint}
	}
	if f.MinInsync > f.Replicas {
		return misfit(fmt.Sprintf("min.insync.replicas is %d, but it has %d replicas, so that nothing is ever acknowledged", f.MinInsync, f.Replicas),
			fmt.Sprintf("set min.insync.replicas to %d or less", max(1, f.Replicas-1)))
	}
	if problem, hint := c.use.misfit(f.Cleanup); problem != "" {
		return misfit(problem, hint)
	}
	advise := func(format string, args ...any) { f.Advice = append(f.Advice, fmt.Sprintf(format, args...)) }
	switch {
	case f.Replicas > 1 && f.MinInsync == 1:
		advise("min.insync.replicas is 1: an event that only the leader has is acknowledged, and lost with it; set it to %d", max(2, f.Replicas-1))
	case f.Replicas > 1 && f.MinInsync == f.Replicas:
		advise("min.insync.replicas is %d, as many as there are replicas: nothing is acknowledged while one broker is down", f.MinInsync)
	}
	if f.MaxMessage > 0 && f.MaxMessage < smallMessage {
		advise("max.message.bytes is %d: events of up to 65536 bytes should fit", f.MaxMessage)
	}
	for _, p := range t.partitions {
		p.limit(f.MaxMessage)
	}
	return nil
}

// settings reads the settings of a topic that are of interest.
func (c *cluster) settings(ctx context.Context, name string) (map[string]string, error) {
	m, err := c.askAny(ctx, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{{
		ResourceType: resourceTopic, ResourceName: name, ConfigNames: []string{minInsyncKey, cleanupKey, maxMessageKey},
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
		return nil, &codeError{code: code(r.ErrorCode), what: "settings of topic " + name, message: r.ErrorMessage}
	}
	settings := map[string]string{}
	for _, e := range r.ConfigEntries {
		settings[e.ConfigName] = e.ConfigValue
	}
	return settings, nil
}

// sleep waits for d, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
