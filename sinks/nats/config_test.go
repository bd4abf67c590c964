package nats

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/internal/field"
)

func TestConfigValidate(t *testing.T) {
	const server = "nats://127.0.0.1:4222"
	tests := []struct {
		name string
		cfg  Config
		want []string // path: problem
	}{
		{"smallest", Config{URL: server}, nil},
		{"whole", Config{
			URL: "tls://a.example.com,tls://b.example.com:4223", Mode: ModeJetStream, Stream: "EVENTS", Create: true,
			Subject: "vms.{connection}.{uuid}", Content: ContentBinary, Username: "u", Password: "p",
			TLS: TLSConfig{CA: "ca.pem", Cert: "c.pem", Key: "k.pem"}, ConnectTimeout: time.Second, AckTimeout: time.Second,
			Replicas: 3, Storage: StorageMemory, MaxAge: time.Hour, MaxBytes: 1, Duplicates: time.Minute,
		}, nil},
		{"empty", Config{}, []string{"nats.url: missing"}},
		{"url", Config{URL: "127.0.0.1:4222"}, []string{`nats.url: "127.0.0.1:4222" is not a URL`}},
		{"url without scheme", Config{URL: "localhost"}, []string{`nats.url: "localhost" is not a URL`}},
		{"scheme", Config{URL: "http://127.0.0.1"}, []string{`nats.url: scheme "http" is not known`}},
		{"two logins", Config{URL: "nats://u:p@h", Token: "t"}, []string{"nats.url: the URL holds credentials, and so does token"}},
		{"words", Config{URL: server, Mode: "js", Content: "json"}, []string{
			`nats.mode: mode "js" is not known`, `nats.content: content mode "json" is not known`,
		}},
		{"stream name", Config{URL: server, Stream: "a.b"}, []string{`nats.stream: "a.b" cannot be a stream's name`}},
		{"unknown placeholder", Config{URL: server, Subject: "virt.{host}.{uuid}"}, []string{`nats.subject: "virt.{host}.{uuid}" has the unknown placeholder {host} (known: {connection}, {uuid}, {kind}, {event}, {detail}) at character 6`}},
		{"open placeholder", Config{URL: server, Subject: "virt.{uuid"}, []string{`nats.subject: "virt.{uuid" has a { without a } at character 6`}},
		{"closed placeholder", Config{URL: server, Subject: "virt.uuid}"}, []string{`nats.subject: "virt.uuid}" has a } without a { at character 10`}},
		{"empty token", Config{URL: server, Subject: "virt..{uuid}"}, []string{`nats.subject: "virt..{uuid}" has an empty token at character 6`}},
		{"wildcard", Config{URL: server, Subject: "virt.>"}, []string{`nats.subject: "virt.>" has a wildcard or a space at character 6`}},
		{"no fixed word", Config{URL: server, Subject: "{uuid}.virt"}, []string{`nats.subject: "{uuid}.virt" does not begin with a fixed word`}},
		{"system subject", Config{URL: server, Subject: "$SYS.{uuid}"}, []string{`nats.subject: "$SYS.{uuid}" does not begin with a fixed word`}},
		{"logins", Config{URL: server, Password: "p", NKey: "f", Creds: "f"}, []string{
			"nats.nkey: more than one way to log in: username, nkey, creds", "nats.password: a password without a username",
		}},
		{"no password", Config{URL: server, Username: "u"}, []string{"nats.username: a username without a password"}},
		{"tls", Config{URL: server, TLS: TLSConfig{Cert: "c", CA: "c", Insecure: true}}, []string{
			"nats.tls: cert and key belong together", "nats.tls.insecure: insecure accepts any certificate, so ca would have no effect",
		}},
		{"core", Config{URL: server, Mode: ModeCore, Create: true, Stream: "S"}, []string{
			"nats.create: core mode has no stream to create", "nats.stream: core mode has no stream",
		}},
		{"not created", Config{URL: server, Replicas: 3, MaxAge: time.Hour}, []string{
			"nats.replicas: replicas describes a stream to be created, and has no effect without create",
			"nats.max_age: max_age describes a stream to be created, and has no effect without create",
		}},
		{"stream", Config{URL: server, Create: true, Replicas: 6, Storage: "disk", MaxAge: -1, MaxBytes: -1, Duplicates: 1}, []string{
			"nats.replicas: 6 replicas are not possible", `nats.storage: storage "disk" is not known`,
			"nats.max_age: -1ns is negative", "nats.max_bytes: -1 is negative", "nats.duplicates: 1ns is too short",
		}},
		{"window", Config{URL: server, Create: true, MaxAge: time.Minute, Duplicates: time.Hour}, []string{
			"nats.duplicates: 1h0m0s is longer than max_age 1m0s",
		}},
		{"time-outs", Config{URL: server, ConnectTimeout: -1, AckTimeout: -1}, []string{
			"nats.connect_timeout: -1ns is negative", "nats.ack_timeout: -1ns is negative",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults, others := field.All(field.Under("nats", tt.cfg.Validate()))
			if others != nil {
				t.Fatalf("errors that are not faults: %v", others)
			}
			var got []string
			for _, f := range faults {
				got = append(got, string(f.Path)+": "+f.Problem)
				if f.Cure == "" {
					t.Errorf("%s has no cure", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if err := tt.cfg.WithDefaults().Validate(); (err == nil) != (tt.want == nil) {
				t.Errorf("Validate after WithDefaults: %v", err)
			}
			if _, err := New(tt.cfg, Options{}); (err == nil) != (tt.want == nil) {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func TestConfigYAML(t *testing.T) {
	const text = `
url: nats://127.0.0.1:4222
mode: jetstream
stream: EVENTS
create: true
subject: "virt.{connection}.{uuid}"
content: binary
username: u
password: p
token: t
nkey: n
creds: c
tls: {ca: ca, cert: cert, key: key, key_password: secret, server_name: bus, insecure: true}
connect_timeout: 3s
ack_timeout: 4s
replicas: 3
storage: memory
max_age: 24h
max_bytes: 5
duplicates: 1m
`
	want := Config{
		URL: "nats://127.0.0.1:4222", Mode: ModeJetStream, Stream: "EVENTS", Create: true, Subject: "virt.{connection}.{uuid}",
		Content: ContentBinary, Username: "u", Password: "p", Token: "t", NKey: "n", Creds: "c",
		TLS:            TLSConfig{CA: "ca", Cert: "cert", Key: "key", KeyPassword: "secret", ServerName: "bus", Insecure: true},
		ConnectTimeout: 3 * time.Second, AckTimeout: 4 * time.Second,
		Replicas: 3, Storage: StorageMemory, MaxAge: 24 * time.Hour, MaxBytes: 5, Duplicates: time.Minute,
	}
	var got Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestRedact(t *testing.T) {
	tests := []struct{ url, want string }{
		{"nats://127.0.0.1:4222", "nats://127.0.0.1:4222"},
		{"nats://u:secret@h:4222,nats://u:secret@i", "nats://u:xxxxx@h:4222,nats://u:xxxxx@i"},
		{"nats://secret@h", "nats://xxxxx@h"},
		{"nats://u:sec%zzret@h", "…@h"},
	}
	for _, tt := range tests {
		if got := redact(tt.url); got != tt.want || strings.Contains(got, "secret") {
			t.Errorf("redact(%q) = %q, want %q", tt.url, got, tt.want)
		}
	}
}
