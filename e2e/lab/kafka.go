package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// KafkaOptions say what a Kafka cluster is like. The zero value: one broker that lets in
// everybody.
type KafkaOptions struct {
	// Brokers is the number of brokers, each of them a controller too; 0 means 1. With
	// three, the topics of the cluster itself have three replicas.
	Brokers int
	// Users are those who may log in, by SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN, with
	// their passwords. Where there are any, nobody else gets in at
	// [KafkaCluster.Bootstrap].
	Users map[string]string
	// ACLs takes all rights from Users, until Config or [KafkaCluster.Tool] gives them
	// some.
	ACLs bool
	// PKI makes clients talk TLS with the server's certificate.
	PKI *PKI
	// ClientCerts makes clients show a certificate of the PKI's authority.
	ClientCerts bool
	// Config is appended to the configuration of every broker (server.properties).
	Config []string
	// HeapMB is the size of each broker's heap; 0 means 384.
	HeapMB int
}

// KafkaCluster is a cluster of real Kafka brokers on ports of 127.0.0.1 that survive
// restarts.
type KafkaCluster struct {
	brokers []*kafkaBroker
	jars    string // what java's class path is
	opts    KafkaOptions
}

// kafkaBroker is one broker, whether it runs or not.
type kafkaBroker struct {
	node                         int // its node.id, from 1
	dir                          string
	client, internal, controller string // addresses
	proc                         *process
}

// kafkaClusterID is the id of every cluster of the lab; it only has to be well-formed.
const kafkaClusterID = "dmlydGNhc3QtbGFiMDAwMA"

// Kafka starts a Kafka cluster in KRaft mode, waits until it serves clients, and kills it
// when the test ends. A broker takes some 5 s to start on a machine that is not busy, and
// about 400 MB.
func Kafka(t testing.TB, opts KafkaOptions) *KafkaCluster {
	t.Helper()
	Require(t, "kafka")
	jars, err := kafkaJars()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	opts.Brokers = max(opts.Brokers, 1)
	if opts.HeapMB == 0 {
		opts.HeapMB = 384
	}
	c := &KafkaCluster{jars: filepath.Join(jars, "*"), opts: opts}
	addrs, err := freeAddrs(3 * opts.Brokers)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	dir := t.TempDir()
	for i := range opts.Brokers {
		c.brokers = append(c.brokers, &kafkaBroker{
			node: i + 1, dir: filepath.Join(dir, fmt.Sprint(i)),
			client: addrs[3*i], internal: addrs[3*i+1], controller: addrs[3*i+2],
		})
	}
	t.Cleanup(func() {
		for i := range c.brokers {
			if t.Failed() {
				t.Logf("log of Kafka broker %d:\n%s", i, tail(c.Log(i), 20))
			}
			c.Kill(t, i)
		}
	})
	if err := errors.Join(c.format(t.Context()), c.writeKeystore()); err != nil {
		t.Fatalf("lab: %v", err)
	}
	for i := range c.brokers {
		c.launch(t, i)
	}
	c.AwaitReady(t)
	return c
}

// kafkaJars fetches Kafka, unless it is there, and returns the directory with its jars.
func kafkaJars() (string, error) { return fetch("kafka") }

// fetch runs the script fetch.sh of a directory of e2e, which fetches foreign programs.
// It returns the script's output: the place of the programs.
func fetch(of string, args ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := command.New(context.Background(), fetchTimeout, filepath.Join(root, "e2e", of, "fetch.sh"), args...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Bootstrap returns where clients connect: host:port of every broker.
func (c *KafkaCluster) Bootstrap() []string {
	addrs := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		addrs[i] = b.client
	}
	return addrs
}

// Internal returns the addresses at which the brokers talk to each other. Clients have
// every right there, without TLS and without a password.
func (c *KafkaCluster) Internal() []string {
	addrs := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		addrs[i] = b.internal
	}
	return addrs
}

// format makes the data directories of all brokers.
func (c *KafkaCluster) format(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(c.brokers))
	for i, b := range c.brokers {
		if err := os.MkdirAll(b.dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(b.config(), []byte(c.properties(b)), 0o644); err != nil {
			return err
		}
		args := []string{"kafka.tools.StorageTool", "format", "-t", kafkaClusterID, "-c", b.config()}
		for user, password := range c.opts.Users {
			for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
				args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, password))
			}
		}
		wg.Go(func() {
			if out, err := command.New(ctx, toolTimeout, "java", c.java("-XX:TieredStopAtLevel=1", args...)...).CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("format the storage of Kafka broker %d: %w\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// java returns the arguments with which java runs one of Kafka's programs.
func (c *KafkaCluster) java(option string, args ...string) []string {
	return append([]string{
		"-XX:+UseSerialGC", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true", "-Djava.awt.headless=true", option, "-cp", c.jars,
	}, args...)
}

// Tool runs one of Kafka's own command line tools, given as the name of its class (such
// as org.apache.kafka.tools.AclCommand) and arguments, where @ is replaced by the
// addresses of
// [KafkaCluster.Internal]. It returns what the tool prints.
func (c *KafkaCluster) Tool(t testing.TB, class string, args ...string) string {
	t.Helper()
	return c.tool(t, "-XX:TieredStopAtLevel=1", class, args) // starts sooner
}

// Measure is Tool for a tool that measures how fast something is: its code is optimised
// while it runs.
func (c *KafkaCluster) Measure(t testing.TB, class string, args ...string) string {
	t.Helper()
	return c.tool(t, "-XX:+TieredCompilation", class, args)
}

func (c *KafkaCluster) tool(t testing.TB, option, class string, args []string) string {
	t.Helper()
	words := []string{class}
	for _, arg := range args {
		if arg == "@" {
			arg = strings.Join(c.Internal(), ",")
		}
		words = append(words, arg)
	}
	out, err := command.New(t.Context(), toolTimeout, "java", c.java(option, words...)...).Output()
	if err != nil {
		t.Fatalf("lab: %s: %v\n%s", class, err, out)
	}
	return string(out)
}

// launch starts a broker and does not wait for it.
func (c *KafkaCluster) launch(t testing.TB, n int) {
	t.Helper()
	b := c.brokers[n]
	if b.running() {
		t.Fatalf("lab: Kafka broker %d is running already", n)
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	heap := fmt.Sprintf("-Xmx%dm", c.opts.HeapMB)
	logging := "-Dlog4j2.configurationFile=" + filepath.Join(root, "e2e", "kafka", "log4j2.properties")
	cmd := command.Server("java", c.java(heap, logging, "kafka.Kafka", b.config())...)
	if b.proc, err = spawn(cmd, b.log()); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Start starts a broker that has ended, on its old ports with its old data, and waits
// until it serves clients.
func (c *KafkaCluster) Start(t testing.TB, n int) {
	t.Helper()
	c.launch(t, n)
	if err := poll(startTimeout, func() error { return c.serves(t.Context(), n) }); err != nil {
		t.Fatalf("lab: Kafka broker %d does not serve: %v\n%s", n, err, tail(c.Log(n), 20))
	}
}

// Terminate ends a broker in order, if it runs: it hands its partitions to others before.
func (c *KafkaCluster) Terminate(t testing.TB, n int) {
	t.Helper()
	if b := c.brokers[n]; b.running() {
		if err := b.proc.terminate(); err != nil {
			t.Errorf("lab: %v", err)
		}
	}
}

// Kill ends a broker with SIGKILL, if it runs.
func (c *KafkaCluster) Kill(t testing.TB, n int) {
	t.Helper()
	if b := c.brokers[n]; b.running() {
		if err := b.proc.kill(); err != nil {
			t.Errorf("lab: %v", err)
		}
	}
}

// Restart ends a broker in order and starts it again.
func (c *KafkaCluster) Restart(t testing.TB, n int) {
	t.Helper()
	c.Terminate(t, n)
	c.Start(t, n)
}

// Pause stops a broker's process without ending it (SIGSTOP): it neither answers nor
// closes its connections. Resume lets it go on.
func (c *KafkaCluster) Pause(t testing.TB, n int) {
	t.Helper()
	if err := c.brokers[n].proc.pause(); err != nil {
		t.Fatalf("lab: pause Kafka broker %d: %v", n, err)
	}
}

// Resume ends a Pause.
func (c *KafkaCluster) Resume(t testing.TB, n int) {
	t.Helper()
	if err := c.brokers[n].proc.signal(syscall.SIGCONT); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Log returns what a broker has logged since its first start: warnings and errors.
func (c *KafkaCluster) Log(n int) string {
	text, err := os.ReadFile(c.brokers[n].log())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (b *kafkaBroker) running() bool  { return b.proc != nil && b.proc.running() }
func (b *kafkaBroker) config() string { return filepath.Join(b.dir, "server.properties") }
func (b *kafkaBroker) data() string   { return filepath.Join(b.dir, "data") }
func (b *kafkaBroker) log() string    { return filepath.Join(b.dir, "kafka.log") }

// freeAddrs returns different addresses of the loopback on which nobody listens now.
// Their ports are below the range that the system gives to clients. If a client dials a
// port of that range while its server is down, the client may be connected to itself, and
// then the server cannot start.
func freeAddrs(n int) (addrs []string, err error) {
	var listeners []io.Closer
	defer func() {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
	}()
	for try := 0; len(addrs) < n; try++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(randomPort())))
		if err == nil {
			listeners, addrs = append(listeners, l), append(addrs, l.Addr().String())
		} else if try > 100*n {
			return nil, fmt.Errorf("find %d free ports: %w", n, err)
		}
	}
	return addrs, nil
}

// AwaitReady waits until every broker runs and knows of every other.
func (c *KafkaCluster) AwaitReady(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for i := range c.brokers {
		err := poll(time.Until(deadline), func() error { return c.serves(t.Context(), i) })
		if err != nil {
			t.Fatalf("lab: Kafka broker %d does not serve: %v\n%s", i, err, tail(c.Log(i), 20))
		}
	}
}
