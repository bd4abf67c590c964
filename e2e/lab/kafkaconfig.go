package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// properties returns the configuration of a broker. Each has three listeners: CLIENT for
// clients, INTERNAL for the other brokers and the lab, CONTROLLER for the quorum.
func (c *KafkaCluster) properties(b *kafkaBroker) string {
	var voters []string
	for _, other := range c.brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", other.node, other.controller))
	}
	protocol := "PLAINTEXT"
	switch {
	case len(c.opts.Users) > 0 && c.opts.PKI != nil:
		protocol = "SASL_SSL"
	case len(c.opts.Users) > 0:
		protocol = "SASL_PLAINTEXT"
	case c.opts.PKI != nil:
		protocol = "SSL"
	}
	replicas := min(len(c.brokers), 3)
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", b.node),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=CLIENT://%s,INTERNAL://%s,CONTROLLER://%s", b.client, b.internal, b.controller),
		fmt.Sprintf("advertised.listeners=CLIENT://%s,INTERNAL://%s", b.client, b.internal),
		"listener.security.protocol.map=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:" + protocol,
		"inter.broker.listener.name=INTERNAL",
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + b.data(),
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		"offsets.topic.num.partitions=1",
		fmt.Sprintf("transaction.state.log.replication.factor=%d", replicas),
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=1",
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", replicas),
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
		// The other brokers shall notice within seconds that a broker is killed or
		// paused.
		"broker.session.timeout.ms=3000",
		"broker.heartbeat.interval.ms=500",
		"replica.lag.time.max.ms=4000",
		// Two cores have little use for the many threads of a server's defaults.
		"num.network.threads=2",
		"num.io.threads=4",
		"background.threads=2",
		// Room for what is kept in memory of compacted topics: 128 MB by default.
		"log.cleaner.dedupe.buffer.size=4194304",
	}
	lines = append(lines, c.authentication()...)
	lines = append(lines, c.encryption()...)
	return strings.Join(append(lines, c.opts.Config...), "\n") + "\n"
}

// authentication returns the lines for who may log in, and what they may do.
func (c *KafkaCluster) authentication() []string {
	var lines []string
	if len(c.opts.Users) > 0 {
		plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
		for user, password := range c.opts.Users {
			plain += fmt.Sprintf(" user_%s=%q", user, password)
		}
		scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		lines = append(lines,
			"listener.name.client.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
			"listener.name.client.plain.sasl.jaas.config="+plain+";",
			"listener.name.client.scram-sha-256.sasl.jaas.config="+scram,
			"listener.name.client.scram-sha-512.sasl.jaas.config="+scram,
		)
	}
	if c.opts.ACLs {
		// INTERNAL and CONTROLLER have no authentication.
		lines = append(lines,
			"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users=User:ANONYMOUS",
		)
	}
	return lines
}

// encryption returns the lines for TLS.
func (c *KafkaCluster) encryption() []string {
	if c.opts.PKI == nil {
		return nil
	}
	auth := "none"
	if c.opts.ClientCerts {
		auth = "required"
	}
	return []string{
		"listener.name.client.ssl.client.auth=" + auth,
		"listener.name.client.ssl.keystore.type=PEM",
		"listener.name.client.ssl.keystore.location=" + c.keystore(),
		"listener.name.client.ssl.truststore.type=PEM",
		"listener.name.client.ssl.truststore.location=" + filepath.Join(c.opts.PKI.Dir, "cacert.pem"),
	}
}

// keystore is the path of the file with the server's key and certificate: Kafka wants
// both in one file.
func (c *KafkaCluster) keystore() string {
	return filepath.Join(filepath.Dir(c.brokers[0].dir), "keystore.pem")
}

// writeKeystore writes the file with the server's key and certificate.
func (c *KafkaCluster) writeKeystore() error {
	if c.opts.PKI == nil {
		return nil
	}
	key, err := os.ReadFile(filepath.Join(c.opts.PKI.Dir, "serverkey.pem"))
	cert, err2 := os.ReadFile(filepath.Join(c.opts.PKI.Dir, "servercert.pem"))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	return os.WriteFile(c.keystore(), append(key, cert...), 0o600)
}

// randomPort returns a port that the system gives to no client by itself.
func randomPort() int {
	const first, last = 15000, 32000 // Linux gives out 32768 and more
	return first + rand.IntN(last-first)
}
