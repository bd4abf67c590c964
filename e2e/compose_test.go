package e2e

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
)

const composeDir = "../compose"

// service has the keys that a service in compose.yaml may have. A key that is missing
// here is a fault: of the file, or of this list.
type service struct {
	Image       string            `yaml:"image"`
	Build       map[string]string `yaml:"build"`
	Profiles    []string          `yaml:"profiles"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	Restart     string            `yaml:"restart"`
	StopGrace   string            `yaml:"stop_grace_period"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck *struct {
		Test     []string `yaml:"test"`
		Interval string   `yaml:"interval"`
		Timeout  string   `yaml:"timeout"`
		Retries  int      `yaml:"retries"`
	} `yaml:"healthcheck"`
}

// compose is a compose.yaml.
type compose struct {
	Name     string             `yaml:"name"`
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
	Shared   service            `yaml:"x-virtcast"`
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	if err := yaml.UnmarshalWithOptions([]byte(read(t, "compose.yaml")), &c, yaml.Strict()); err != nil {
		t.Fatal(yaml.FormatError(err, false, true))
	}
	return c
}

// read returns a file of compose.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(composeDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The addresses that a service has for other services are the ones at which these listen.
func TestCompose(t *testing.T) {
	c := readCompose(t)
	for _, name := range []string{"virtcast", "demo", "tail", "nats", "kafka", "prometheus"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, s := range c.Services {
		t.Run(name, func(t *testing.T) { c.check(t, s) })
	}

	config := read(t, "virtcast.yaml")
	kafka, nats := c.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "nats:4222"
	inside := regexp.MustCompile(`INSIDE://([^,]+)`).FindStringSubmatch(kafka)
	if inside == nil {
		t.Fatalf("kafka advertises %q: no listener INSIDE", kafka)
	}
	flags := strings.Join(append(c.Services["demo"].Command, c.Services["tail"].Command...), " ")
	for _, want := range []struct{ what, text, in string }{
		{"the brokers of virtcast.yaml", `["` + inside[1] + `"]`, config},
		{"the brokers of demo", "--kafka " + inside[1] + " --metrics", flags},
		{"the brokers of tail", "tail --kafka " + inside[1], flags},
		{"the server of virtcast.yaml", `"nats://` + nats + `"`, config},
		{"the server of demo", "--nats nats://" + nats, flags},
		{"the metrics of virtcast.yaml", `"0.0.0.0:9177"`, config},
		{"the metrics of demo", "0.0.0.0:9177", flags},
		{"the target of Prometheus", `"virtcast:9177"`, read(t, "prometheus.yaml")},
		{"the target of Prometheus", `"demo:9177"`, read(t, "prometheus.yaml")},
		{"the address that kafka has for this machine", "OUTSIDE://localhost:9092", kafka},
		{"what this machine reaches", "127.0.0.1:9092:9092", strings.Join(c.Services["kafka"].Ports, " ")},
	} {
		if !strings.Contains(want.in, want.text) {
			t.Errorf("%s: got %q, want %q in it", want.what, want.in, want.text)
		}
	}
}

// check checks the rules that hold for every service.
func (c compose) check(t *testing.T, s service) {
	t.Helper()
	for other, on := range s.DependsOn {
		if on.Condition != "service_healthy" || c.Services[other].Healthcheck == nil {
			t.Errorf("depends on %s (%s): want one with a health check, once it is healthy", other, on.Condition)
		}
	}
	for _, port := range s.Ports {
		if host, _, err := net.SplitHostPort(port[:strings.LastIndexByte(port, ':')]); err != nil || host != "127.0.0.1" {
			t.Errorf("port %s is open to other machines (%v)", port, err)
		}
	}
	for _, v := range s.Volumes {
		source := strings.Split(v, ":")[0]
		if _, ok := c.Volumes[source]; !ok && !strings.HasPrefix(source, "./") && source != "/run/libvirt" {
			t.Errorf("volume %s is not declared", source)
		}
		if _, err := os.Stat(filepath.Join(composeDir, source)); strings.HasPrefix(source, "./") && err != nil {
			t.Error(err)
		}
	}
	if s.Build == nil {
		if !regexp.MustCompile(`^[a-z/]+:v?\d+\.\d+`).MatchString(s.Image) {
			t.Errorf("image %s: want a tag with a version", s.Image)
		}
		return
	}
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("got read_only %t, cap_drop %v, security_opt %v: a container of ours needs no rights", s.ReadOnly, s.CapDrop, s.SecurityOpt)
	}
	if _, err := os.Stat(filepath.Join(composeDir, s.Build["context"], s.Build["dockerfile"])); err != nil {
		t.Error(err)
	}
}

// The image has a static binary that is built with the Go that go.mod asks for, runs as
// nobody, and keeps its journal in a volume.
func TestDockerfile(t *testing.T) {
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if version == nil {
		t.Fatal("go.mod names no version of Go")
	}
	file := read(t, "Dockerfile")
	for _, want := range []string{
		"FROM golang:" + string(version[1]) + "-", "CGO_ENABLED=0 go build", "FROM scratch\n", "USER 65532:65532\n",
		"VOLUME /var/lib/virtcast\n", `CMD ["run", "-c", "/etc/virtcast/virtcast.yaml"]`,
	} {
		if !strings.Contains(file, want) {
			t.Errorf("compose/Dockerfile does not say %q", want)
		}
	}
	if ignored := read(t, "Dockerfile.dockerignore"); !strings.Contains(ignored, "\n.git\n") {
		t.Error("the build would ask .git, which belongs to somebody else there, for a version")
	}
}

// virtcast accepts its configuration, and keeps its journal in the volume.
func TestComposeConfiguration(t *testing.T) {
	cmd := command.New(t.Context(), lab.Patience, lab.VirtcastProgram(t, false), "check", "-c", filepath.Join(composeDir, "virtcast.yaml"))
	out := lab.Output(t, cmd)
	for _, want := range []string{"read-only", "NATS JetStream at nats://nats:4222", "Kafka at kafka:19092", "Journal in /var/lib/virtcast/journal"} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
}

// Docker checks the file itself, where its compose plugin is installed. Most machines
// that run the tests have no such plugin; TestCompose checks the file in any case.
func TestComposePlugin(t *testing.T) {
	if err := command.New(t.Context(), lab.Patience, "docker", "compose", "version").Run(); err != nil {
		t.Log("docker compose is not installed here; only TestCompose has looked at compose.yaml")
		return
	}
	lab.Output(t, command.New(t.Context(), lab.Patience,
		"docker", "compose", "-f", filepath.Join(composeDir, "compose.yaml"), "--profile", "demo", "config", "--quiet"))
}
