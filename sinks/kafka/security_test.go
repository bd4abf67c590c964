package kafka

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

// accessCase is a way to get in, or not to.
type accessCase struct {
	name   string
	config Config // Topic is "s" unless it says otherwise; Brokers are the cluster's
	// connects is set when Connect succeeds, and delivers when Deliver does too. hints
	// are what the error of the one that fails says.
	connects, delivers bool
	hints              []string
}

func (a accessCase) run(t *testing.T, brokers []string) {
	t.Helper()
	cfg := a.config
	if cfg.Brokers == nil {
		cfg.Brokers = brokers
	}
	if cfg.Topic == "" {
		cfg.Topic = "s"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	sink := newSink(t, cfg)
	err := sink.Connect(t.Context())
	if a.connects != (err == nil) {
		t.Fatalf("Connect: %v, want success: %t", err, a.connects)
	}
	if err != nil {
		oneLine(t, err, a.hints...)
	}
	n, err := sinktest.Prefix(t.Context(), sink, oneDomain(1))
	if sinktest.IsPermanent(err) || a.delivers != (err == nil) || a.delivers != (n == 1) {
		t.Fatalf("Deliver = %d, %v, want success: %t", n, err, a.delivers)
	}
	if err != nil {
		t.Log(err)
		oneLine(t, err, a.hints...)
	}
}

// files returns the TLS configuration of a directory of the lab's.
func files(dir string) *TLSConfig {
	return &TLSConfig{
		CA: filepath.Join(dir, "cacert.pem"), Cert: filepath.Join(dir, "clientcert.pem"), Key: filepath.Join(dir, "clientkey.pem"),
	}
}

func login(m Mechanism, user, password string) SASLConfig {
	return SASLConfig{Mechanism: m, Username: user, Password: password}
}

// Who may log in with a password, over TLS, and what rights they need. Every refusal is
// one line that names its cure, at the start.
func TestLogin(t *testing.T) {
	pki := lab.NewPKI(t)
	c := lab.Kafka(t, lab.KafkaOptions{PKI: pki, ACLs: true, Users: map[string]string{"joe": "secret", "jim": "secret", "ann": "secret", "bob": "secret"}})
	c.CreateTopic(t, lab.KafkaTopic{Name: "s"})
	c.CreateTopic(t, lab.KafkaTopic{Name: "other"})
	allow := func(user, topic string, operations ...string) {
		args := []string{"--bootstrap-server", "@", "--add", "--allow-principal", "User:" + user, "--topic", topic}
		for _, o := range operations {
			args = append(args, "--operation", o)
		}
		c.Tool(t, "org.apache.kafka.tools.AclCommand", args...)
	}
	allow("joe", "s", "Write", "Describe")
	allow("ann", "s", "Describe")
	allow("bob", "s", "Describe")
	allow("bob", "other", "Write")
	ca := &TLSConfig{CA: filepath.Join(pki.Dir, "cacert.pem")}
	wrongCA := &TLSConfig{CA: filepath.Join(lab.NewPKI(t).Dir, "cacert.pem")}
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	joe := login(MechanismScramSHA512, "joe", "secret")
	refused := func(user string, m Mechanism) []string {
		return []string{"log in", "SASL_AUTHENTICATION_FAILED", fmt.Sprintf("check sasl.username %q, its password, and that the broker knows it for %s", user, m)}
	}
	for _, test := range []accessCase{
		{"PLAIN", Config{TLS: ca, SASL: login(MechanismPlain, "joe", "secret")}, true, true, nil},
		{"SCRAM-SHA-256", Config{TLS: ca, SASL: login(MechanismScramSHA256, "joe", "secret")}, true, true, nil},
		{"SCRAM-SHA-512", Config{TLS: ca, SASL: joe}, true, true, nil},
		{"any certificate", Config{TLS: &TLSConfig{Insecure: true}, SASL: joe}, true, true, nil},
		{"wrong password by PLAIN", Config{TLS: ca, SASL: login(MechanismPlain, "joe", "wrong")}, false, false, refused("joe", MechanismPlain)},
		{"wrong password by SCRAM-SHA-256", Config{TLS: ca, SASL: login(MechanismScramSHA256, "joe", "wrong")}, false, false, refused("joe", MechanismScramSHA256)},
		{"wrong password by SCRAM-SHA-512", Config{TLS: ca, SASL: login(MechanismScramSHA512, "joe", "wrong")}, false, false, refused("joe", MechanismScramSHA512)},
		{"unknown user by PLAIN", Config{TLS: ca, SASL: login(MechanismPlain, "eve", "secret")}, false, false, refused("eve", MechanismPlain)},
		{"unknown user by SCRAM-SHA-512", Config{TLS: ca, SASL: login(MechanismScramSHA512, "eve", "secret")}, false, false, refused("eve", MechanismScramSHA512)},
		{"no password", Config{TLS: ca}, false, false, []string{"the listener may want a login: set sasl"}},
		{"wrong authority", Config{TLS: wrongCA, SASL: joe}, false, false, []string{"tls handshake", "unknown authority", "set tls.ca to the PEM file of the authority that signed the brokers' certificates"}},
		{"the system's authorities", Config{TLS: &TLSConfig{}, SASL: joe}, false, false, []string{"unknown authority", "set tls.ca"}},
		{"no such file", Config{TLS: &TLSConfig{CA: "/absent/ca.pem"}, SASL: joe}, false, false, []string{"tls.ca", "/absent/ca.pem", "no such file", "check the path"}},
		{"no certificate in the file", Config{TLS: &TLSConfig{CA: noPEM}, SASL: joe}, false, false, []string{"tls.ca", "holds no certificate in PEM form", "BEGIN CERTIFICATE"}},
		{"no TLS", Config{SASL: joe}, false, false, []string{"no answer of a Kafka broker", "not that of a Kafka listener without TLS: add tls: {}, or correct brokers"}},
		{"TLS to a listener without", Config{Brokers: c.Internal(), TLS: ca, SASL: joe}, false, false, []string{"tls handshake", "the listener does not speak TLS", "remove tls, or use the port of a TLS listener"}},
		{"password to a listener without", Config{Brokers: c.Internal(), SASL: joe}, false, false, []string{"ILLEGAL_SASL_STATE", "remove sasl, or use the port of a listener with a login"}},
		{"no rights", Config{TLS: ca, SASL: login(MechanismPlain, "jim", "secret")}, false, false, []string{"topic s", "TOPIC_AUTHORIZATION_FAILED", `allow user "jim" Describe and Write on the topic (kafka-acls.sh --add --allow-principal User:jim`}},
		{"no right to write anything", Config{TLS: ca, SASL: login(MechanismPlain, "ann", "secret")}, true, false, []string{"producer id", "CLUSTER_AUTHORIZATION_FAILED", "allow this user IdempotentWrite on the cluster, or Write on a topic"}},
		{"no right to write the topic", Config{TLS: ca, SASL: login(MechanismPlain, "bob", "secret")}, true, false, []string{"partition 0 of s", "TOPIC_AUTHORIZATION_FAILED", `allow user "bob" Describe and Write on the topic`}},
		{"missing topic", Config{TLS: ca, SASL: joe, Topic: "absent"}, false, false, []string{"topic absent", "TOPIC_AUTHORIZATION_FAILED", `allow user "joe" Describe and Write`}},
		{"no right to create", Config{TLS: ca, SASL: login(MechanismPlain, "ann", "secret"), Topic: "t", Create: &CreateConfig{}}, false, false, []string{"TOPIC_AUTHORIZATION_FAILED", `allow user "ann" Describe and Write`}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c.Bootstrap()) })
	}
	t.Run("advice without the right to read settings", func(t *testing.T) {
		sink := newSink(t, Config{Brokers: c.Bootstrap(), Topic: "s", TLS: ca, SASL: joe})
		err := sink.Connect(t.Context())
		fit := sink.Fit()
		if err != nil || len(fit.Advice) != 1 || fit.Cleanup != "" {
			t.Fatalf("Connect = %+v, %v, want one advice", fit, err)
		}
		oneLine(t, fmt.Errorf("%s", fit.Advice[0]), "settings are not checked", "allow this user DescribeConfigs")
	})
	t.Run("no right to create a topic that may be looked at", func(t *testing.T) {
		allow("ann", "t", "Describe")
		accessCase{"", Config{TLS: ca, SASL: login(MechanismPlain, "ann", "secret"), Topic: "t", Create: &CreateConfig{}}, false, false, []string{
			"create topic t", "TOPIC_AUTHORIZATION_FAILED", "allow user \"ann\" Create on the topic, or create the topic and remove create",
		}}.run(t, c.Bootstrap())
	})
}

// Who may come with a certificate.
func TestClientCertificates(t *testing.T) {
	pki := lab.NewPKI(t)
	c := lab.Kafka(t, lab.KafkaOptions{PKI: pki, ClientCerts: true})
	c.CreateTopic(t, lab.KafkaTopic{Name: "s"})
	none := files(pki.Good)
	none.Cert, none.Key = "", ""
	swapped := files(pki.Good)
	swapped.Cert, swapped.Key = swapped.Key, swapped.Cert
	const hint = "set tls.cert and tls.key to a client certificate that the brokers' authority signed"
	for _, test := range []accessCase{
		{"good", Config{TLS: files(pki.Good)}, true, true, nil},
		{"none", Config{TLS: none}, false, false, []string{hint}},
		{"expired", Config{TLS: files(pki.Expired)}, false, false, []string{hint}},
		{"of another authority", Config{TLS: files(pki.OtherCA)}, false, false, []string{hint}},
		{"files swapped", Config{TLS: swapped}, false, false, []string{"tls.cert", "holds no certificate in PEM form", "write the path of a file that has BEGIN CERTIFICATE in it"}},
		{"password where there is none", Config{TLS: files(pki.Good), SASL: login(MechanismPlain, "joe", "secret")}, false, false, []string{"ILLEGAL_SASL_STATE", "remove sasl, or use the port of a listener with a login"}},
		{"no TLS", Config{}, false, false, []string{"add tls: {}"}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c.Bootstrap()) })
	}
}

// Where no broker is.
func TestUnreachable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	const hint = "start the broker, or correct brokers"
	for _, test := range []accessCase{
		{"nobody listens", Config{Brokers: []string{closed.Addr().String()}}, false, false, []string{"broker " + closed.Addr().String(), "connection refused", hint}},
		{"no such name", Config{Brokers: []string{"kafka.invalid:9092"}}, false, false, []string{"kafka.invalid", "lookup", "correct brokers"}},
		{"nobody answers", Config{Brokers: []string{silent.Addr().String()}, ConnectTimeout: 100 * time.Millisecond}, false, false, []string{
			"no answer within 100ms", "the broker is stuck", "look at the broker, and at firewalls",
		}},
		{"neither nor", Config{Brokers: []string{"kafka.invalid:9092", closed.Addr().String()}}, false, false, []string{"kafka kafka.invalid:9092," + closed.Addr().String(), hint}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, nil) })
	}
}

// A mechanism that the listener does not offer, and what it does offer.
func TestWrongMechanism(t *testing.T) {
	c := startCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "joe", "secret"))
	c.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if r.(*kmsg.SASLHandshakeRequest).Mechanism == "PLAIN" {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		response.ErrorCode, response.SupportedMechanisms = int16(client.Code(33)), []string{"PLAIN", "OAUTHBEARER"}
		return response, nil, true
	})
	for _, test := range []accessCase{
		{"offered", Config{SASL: login(MechanismPlain, "joe", "secret"), Topic: DefaultTopic}, true, true, nil},
		{"not offered", Config{SASL: login(MechanismScramSHA512, "joe", "secret"), Topic: DefaultTopic}, false, false, []string{
			"log in", "SCRAM-SHA-512", "UNSUPPORTED_SASL_MECHANISM", "it offers PLAIN, OAUTHBEARER", "set sasl.mechanism to one that the listener offers",
		}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c.ListenAddrs()) })
	}
}
