package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/virtcast/virtcast/e2e/lab"
)

// One broker keeps its topics, its records and its port through every end.
func TestKafka(t *testing.T) {
	c := lab.Kafka(t, lab.KafkaOptions{})
	c.CreateTopic(t, lab.KafkaTopic{Name: "s", Partitions: 2, Config: map[string]string{"max.message.bytes": "4096"}})
	produce := producer(t, c, &kafka.Transport{})
	if err := produce(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	c.Kill(t, 0)
	c.Start(t, 0)
	lab.Eventually(t, lab.Patience, func() error { return produce(t.Context(), "y") })
	c.Restart(t, 0)
	lab.Eventually(t, lab.Patience, func() error { return produce(t.Context(), "z") })
	c.Pause(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := produce(ctx, "u"); err == nil {
		t.Error("a paused broker acknowledged a record")
	}
	c.Resume(t, 0)
	lab.Eventually(t, lab.Patience, func() error { return produce(t.Context(), "v") })
	if leader := c.Leader(t, "s", 1); leader != 0 {
		t.Errorf("partition 1 is led by broker %d, want 0", leader)
	}
}

// producer returns a function that produces a record to partition 0 of topic s.
func producer(t *testing.T, c *lab.KafkaCluster, transport *kafka.Transport) func(ctx context.Context, value string) error {
	t.Helper()
	transport.DialTimeout = 5 * time.Second
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(c.Bootstrap()...), Transport: transport, Timeout: 5 * time.Second}
	return func(ctx context.Context, value string) error {
		response, err := client.Produce(ctx, &kafka.ProduceRequest{
			Topic: "s", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
		})
		if err != nil {
			return err
		}
		return response.Error
	}
}

// Clients must show a certificate and a password, and have only the rights that an ACL
// gives them.
func TestKafkaSecurity(t *testing.T) {
	pki := lab.NewPKI(t)
	c := lab.Kafka(t, lab.KafkaOptions{
		PKI: pki, ClientCerts: true, ACLs: true, Users: map[string]string{"joe": "secret", "jim": "secret"},
	})
	c.CreateTopic(t, lab.KafkaTopic{Name: "s"})
	c.Tool(t, "org.apache.kafka.tools.AclCommand", "--bootstrap-server", "@",
		"--add", "--allow-principal", "User:joe", "--operation", "Write", "--operation", "Describe", "--topic", "s")
	scramUser := func(user, password string) sasl.Mechanism {
		m, err := scram.Mechanism(scram.SHA512, user, password)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	good := clientTLS(t, pki.Good)
	tests := []struct {
		name string
		tls  *tls.Config
		sasl sasl.Mechanism
		ok   bool
	}{
		{"password by SCRAM-SHA-512", good, scramUser("joe", "secret"), true},
		{"password by PLAIN", good, plain.Mechanism{Username: "joe", Password: "secret"}, true},
		{"wrong password", good, scramUser("joe", "wrong"), false},
		{"no password", good, nil, false},
		{"no right", good, scramUser("jim", "secret"), false},
		{"certificate of another authority", clientTLS(t, pki.OtherCA), scramUser("joe", "secret"), false},
		{"no TLS", nil, scramUser("joe", "secret"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			produce := producer(t, c, &kafka.Transport{TLS: test.tls, SASL: test.sasl})
			if test.ok {
				lab.Eventually(t, lab.Patience, func() error { return produce(t.Context(), "x") })
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := produce(ctx, "x"); err == nil {
				t.Error("the broker took a record, want it refused")
			}
		})
	}
}

func clientTLS(t *testing.T, dir string) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, "cacert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "clientcert.pem"), filepath.Join(dir, "clientkey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, ServerName: "localhost"}
}

// Of three brokers, two go on when the leader is killed or paused.
func TestKafkaCluster(t *testing.T) {
	c := lab.Kafka(t, lab.KafkaOptions{Brokers: 3})
	c.CreateTopic(t, lab.KafkaTopic{Name: "s", Replicas: 3, Config: map[string]string{"min.insync.replicas": "2"}})
	inSync := func(want int) {
		t.Helper()
		lab.Eventually(t, lab.Patience, func() error {
			if got := c.InSync(t, "s"); got != want {
				return fmt.Errorf("%d replicas are in sync, want %d", got, want)
			}
			return nil
		})
	}
	inSync(3)
	killed := c.Leader(t, "s", 0)
	c.Kill(t, killed)
	lab.Eventually(t, lab.Patience, func() error { return led(c, t, killed) })
	inSync(2)
	c.Start(t, killed)
	inSync(3)
	paused := c.Leader(t, "s", 0)
	c.Pause(t, paused)
	lab.Eventually(t, lab.Patience, func() error { return led(c, t, paused) })
	c.Resume(t, paused)
	inSync(3)
	produce := producer(t, c, &kafka.Transport{})
	lab.Eventually(t, lab.Patience, func() error { return produce(t.Context(), "x") })
}

// led returns nil once another broker than n leads the topic.
func led(c *lab.KafkaCluster, t *testing.T, n int) error {
	t.Helper()
	if c.Leader(t, "s", 0) == n {
		return errors.New("the old leader still leads")
	}
	return nil
}
