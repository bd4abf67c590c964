package client

import (
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/virtcast/virtcast/internal/tlsfiles"
)

// Config is how to reach a cluster, and what its topics must be like.
type Config struct {
	// Brokers are the addresses, host:port, by which the cluster is found.
	Brokers []string
	// TLS is how the brokers are verified; nil means no TLS.
	TLS *TLS
	// SASL is how to log in; no mechanism means not at all.
	SASL SASL
	// ConnectTimeout bounds dialling and logging in, per broker. AckTimeout bounds the
	// wait for the answer to a request.
	ConnectTimeout, AckTimeout time.Duration
	// Create creates a topic that is missing; nil means that it must exist.
	Create *Create
	// Cleanup is the cleanup.policy that topics are created with.
	Cleanup string
	// Misfit returns why a cleanup.policy does not suit, and what to do; "" where it
	// suits. Nil means that each suits.
	Misfit func(policy string) (problem, hint string)
}

// Create describes the topic that is created where it is missing.
type Create struct {
	// Partitions is the number of partitions; default 12. When some are added later, keys
	// move to other partitions.
	Partitions int `yaml:"partitions"`
	// Replication is the number of replicas; 0 means the cluster's default. From 3 on,
	// min.insync.replicas is set to one less.
	Replication int `yaml:"replication"`
}

// Mechanism is how to log in by SASL.
type Mechanism string

// The mechanisms.
const (
	MechanismPlain       Mechanism = "PLAIN"
	MechanismScramSHA256 Mechanism = "SCRAM-SHA-256"
	MechanismScramSHA512 Mechanism = "SCRAM-SHA-512"
)

// SASL is the login part of a configuration.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism Mechanism `yaml:"mechanism"`
	Username  string    `yaml:"username"`
	Password  string    `yaml:"password"`
}

// TLS is the TLS part of a configuration. Its zero value verifies the brokers against the
// system's authorities.
type TLS struct {
	// CA is the path of a PEM file with the authorities that may sign the brokers'
	// certificates.
	CA string `yaml:"ca"`
	// Cert and Key are the paths of the client's PEM files; both may be the same file.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// KeyPassword decrypts Key.
	KeyPassword string `yaml:"key_password"`
	// ServerName is the name that the brokers' certificates must be made out for; empty
	// means the host that is connected to.
	ServerName string `yaml:"server_name"`
	// Insecure accepts any broker certificate.
	Insecure bool `yaml:"insecure"`
}

// servers returns the addresses, for people to read.
func (c *Config) servers() string { return strings.Join(c.Brokers, ",") }

// brokerTimeout is how long a broker may take: a little less than the wait for its
// answer.
func (c *Config) brokerTimeout() time.Duration { return c.AckTimeout * 4 / 5 }

// exchange returns how to log in, as kafka-go wants it.
func (s SASL) exchange() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case MechanismScramSHA256:
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case MechanismScramSHA512:
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	case MechanismPlain:
	}
	return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
}

// files returns the files of TLS, which are read for each connection; nil without TLS.
func (c *Config) files() *tlsfiles.Files {
	if c.TLS == nil {
		return nil
	}
	return tlsfiles.New(tlsfiles.Config(*c.TLS), "tls")
}

// Dialer returns how kafka-go's readers connect. It reads the files of TLS.
func (c *Config) Dialer(id string) (*kafka.Dialer, error) {
	d := &kafka.Dialer{ClientID: id, Timeout: c.ConnectTimeout, DualStack: true}
	var err error
	if files := c.files(); files != nil {
		if d.TLS, err = files.Client(""); err != nil {
			return nil, err
		}
	}
	if c.SASL.Mechanism != "" {
		if d.SASLMechanism, err = c.SASL.exchange(); err != nil {
			return nil, err
		}
	}
	return d, nil
}
