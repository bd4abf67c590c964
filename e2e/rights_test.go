package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
)

// The commands of docs/kafka.md give virtcast and its consumers every right that they
// need, on a broker that gives none by itself. They need to publish to a topic that
// exists, to create topics for events and for states, and to read.
func TestKafkaRights(t *testing.T) {
	lab.Require(t, "libvirtd", "go", "kafka")
	broker := lab.Kafka(t, lab.KafkaOptions{ACLs: true, Users: map[string]string{"virtcast": "secret", "inventory": "secret"}})
	broker.CreateTopic(t, lab.KafkaTopic{Name: "virt.events"})
	commands := aclCommands(t)
	if len(commands) != 3 {
		t.Fatalf("docs/kafka.md has %d commands, want one for an existing topic, one for topics to be made, one for a consumer", len(commands))
	}
	for _, args := range commands {
		broker.Tool(t, "org.apache.kafka.tools.AclCommand", args...)
	}

	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, lab.Test)
	login := func(user string) string {
		return fmt.Sprintf(`brokers: ["%s"], sasl: {mechanism: SCRAM-SHA-256, username: %s, password: secret}`, broker.Bootstrap()[0], user)
	}
	head := fmt.Sprintf("data_dir: %q\nconnections:\n  - {name: host, uri: %q}\nlog: {level: debug, format: json}\nsinks:\n", t.TempDir(), d.URI(lab.Test))
	v := lab.Virtcast(t, head+
		"  - {name: existing, kafka: {"+login("virtcast")+"}}\n"+
		"  - {name: made, kafka: {"+login("virtcast")+", create: {}, topic: virt.made, state_topic: virt.domains}}\n",
		lab.VirtcastOptions{})
	awaitWatching(t, v, 1, "host")
	uuid := d.Define(t, lab.Test, "guest", lab.TestDomain("guest"))
	v.AwaitLog(t, lab.Patience, `"topic":"virt.events"`, `"topic":"virt.made"`, `"topic":"virt.domains"`)

	consumer := filepath.Join(t.TempDir(), "consumer.yaml")
	config := head + "  - {name: existing, kafka: {" + login("inventory") + "}}\n"
	if err := os.WriteFile(consumer, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if line := firstLine(t, command.New(t.Context(), lab.Patience,
		lab.VirtcastProgram(t, false), "tail", "-c", consumer, "--sink", "existing", "--all")); !strings.Contains(line, uuid) {
		t.Errorf("the consumer printed %q, want the event of %s", line, uuid)
	}
	for line := range strings.Lines(v.Log()) {
		if strings.Contains(line, "AUTHORIZATION_FAILED") {
			t.Errorf("a right is missing: %s", line)
		}
	}
}

// aclCommands returns the arguments of each kafka-acls.sh in docs/kafka.md, with @ for
// the address, see [lab.KafkaCluster.Tool].
func aclCommands(t *testing.T) [][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands [][]string
	for line := range strings.Lines(strings.ReplaceAll(string(page), "\\\n", "")) {
		if args, ok := strings.CutPrefix(line, "kafka-acls.sh "); ok {
			commands = append(commands, strings.Fields(strings.Replace(args, "kafka1:9092", "@", 1)))
		}
	}
	return commands
}

// firstLine returns the first line that a command prints, and ends the command.
func firstLine(t *testing.T, cmd *command.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	ended := cmd.Wait() // of a program without a line, the reason
	if err != nil {
		t.Fatalf("%s: %v: %v\n%s", cmd, err, ended, stderr.String())
	}
	return line
}
