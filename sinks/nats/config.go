package nats

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/internal/tlsfiles"
)

// Mode is how events are published.
type Mode string

// The modes.
const (
	// ModeJetStream stores events in a stream; each is acknowledged. The default.
	ModeJetStream Mode = "jetstream"
	// ModeCore publishes to the clients that are subscribed at that moment, each at most
	// once. A client that is not connected then misses the event.
	ModeCore Mode = "core"
)

// Content is the CloudEvents content mode.
type Content string

// The content modes.
const (
	// ContentStructured puts the whole event into the payload, as JSON. It is the
	// default, and the faster one.
	ContentStructured Content = "structured"
	// ContentBinary puts the attributes into ce- headers and the data into the payload.
	ContentBinary Content = "binary"
)

// Storage is where a created stream keeps its messages.
type Storage string

// The storages.
const (
	StorageFile   Storage = "file" // The default.
	StorageMemory Storage = "memory"
)

// Config is what a user writes about a NATS sink. A zero field means its default;
// [Config.WithDefaults] fills them in.
type Config struct {
	// URL is one or more server URLs, separated by commas: nats://, tls://, ws:// or
	// wss://. Required.
	URL string `yaml:"url"`
	// Mode is jetstream (default) or core.
	Mode Mode `yaml:"mode"`
	// Stream is the name of the stream; default VIRTCAST.
	Stream string `yaml:"stream"`
	// Create makes the stream if it is missing. An existing stream is never changed.
	Create bool `yaml:"create"`
	// Subject is the subject template; default [DefaultSubject].
	Subject string `yaml:"subject"`
	// StateBucket is the JetStream KV bucket of the domains' last known states, beside
	// the events; empty means none. Create makes it too, with Replicas and Storage.
	StateBucket string `yaml:"state_bucket"`
	// Content is structured (default) or binary.
	Content Content `yaml:"content"`

	// Username and Password log in with a user of the server's configuration.
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// Token logs in with the server's token.
	Token string `yaml:"token"`
	// NKey is the path of a file with an nkey seed.
	NKey string `yaml:"nkey"`
	// Creds is the path of a .creds file: a JWT and its seed.
	Creds string `yaml:"creds"`
	// TLS is how the server is verified and how this client proves itself.
	TLS TLSConfig `yaml:"tls"`

	// ConnectTimeout bounds dialling and logging in, per server; default 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// AckTimeout bounds the time without any acknowledgement while one is due; default 5
	// s.
	AckTimeout time.Duration `yaml:"ack_timeout"`

	// The rest describes the stream that Create makes.

	// Replicas is 1 (default) to 5.
	Replicas int `yaml:"replicas"`
	// Storage is file (default) or memory.
	Storage Storage `yaml:"storage"`
	// MaxAge and MaxBytes bound what the stream keeps; when full, it discards the oldest.
	// 0 means no bound, the default.
	MaxAge   time.Duration `yaml:"max_age"`
	MaxBytes int64         `yaml:"max_bytes"`
	// Duplicates is how long the stream remembers ids; default 2 min, or MaxAge if that
	// is shorter. The server needs about 145 bytes of memory per id.
	Duplicates time.Duration `yaml:"duplicates"`
}

// TLSConfig is the TLS part of a [Config]. Its zero value verifies a server that wants
// TLS against the system's authorities. The files are read for every connection.
type TLSConfig struct {
	// CA is the path of a PEM file with the authorities that may sign the server's
	// certificate.
	CA string `yaml:"ca"`
	// Cert and Key are the paths of the client's PEM files.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// KeyPassword decrypts Key.
	KeyPassword string `yaml:"key_password"`
	// ServerName is the name that the server's certificate must be made out for; empty
	// means the host in the URL.
	ServerName string `yaml:"server_name"`
	// Insecure accepts any server certificate.
	Insecure bool `yaml:"insecure"`
}

func (t TLSConfig) files() *tlsfiles.Files { return tlsfiles.New(tlsfiles.Config(t), "tls") }

// WithDefaults returns c with its defaults in the zero fields that have one and that have
// a meaning for c.
func (c Config) WithDefaults() Config {
	fill(&c.Mode, ModeJetStream)
	fill(&c.Subject, DefaultSubject)
	fill(&c.Content, ContentStructured)
	fill(&c.ConnectTimeout, 5*time.Second)
	fill(&c.AckTimeout, 5*time.Second)
	if c.Mode == ModeJetStream {
		fill(&c.Stream, "VIRTCAST")
	}
	if !c.Create {
		return c
	}
	fill(&c.Replicas, 1)
	fill(&c.Storage, StorageFile)
	if c.Duplicates == 0 {
		c.Duplicates = 2 * time.Minute
		if c.MaxAge > 0 {
			c.Duplicates = min(c.Duplicates, c.MaxAge)
		}
	}
	return c
}

func fill[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Validate returns every fault of c, joined. Each names its field, such as tls.cert. It
// reads no file and connects to nothing.
func (c Config) Validate() error {
	const path = field.Path("")
	var f field.Faults
	c.validateURL(&f, path.Key("url"))
	c.validatePublishing(&f, path)
	c.validateAuth(&f, path)
	c.validateStream(&f, path)
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"connect_timeout", c.ConnectTimeout}, {"ack_timeout", c.AckTimeout}} {
		if d.value < 0 {
			f.Add(path.Key(d.key), "write a positive duration, such as 5s", "%s is negative", d.value)
		}
	}
	return f.Err()
}

func (c Config) validateURL(f *field.Faults, path field.Path) {
	const cure = "write the server's URL, such as nats://127.0.0.1:4222"
	if c.URL == "" {
		f.Add(path, cure, "missing")
		return
	}
	for server := range strings.SplitSeq(c.URL, ",") {
		server = strings.TrimSpace(server)
		u, err := url.Parse(server)
		switch {
		case err != nil || u.Host == "":
			f.Add(path, cure, "%q is not a URL", redact(server))
		case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			f.Add(path, "use nats://, tls://, ws:// or wss://", "scheme %q is not known", u.Scheme)
		case u.User != nil && c.authMethods() != nil:
			f.Add(path, "give the credentials in one place only",
				"the URL holds credentials, and so does %s", strings.Join(c.authMethods(), ", "))
		}
	}
}

func (c Config) validatePublishing(f *field.Faults, path field.Path) {
	if !slices.Contains([]Mode{"", ModeJetStream, ModeCore}, c.Mode) {
		f.Add(path.Key("mode"), "write jetstream or core", "mode %q is not known", c.Mode)
	}
	if !slices.Contains([]Content{"", ContentStructured, ContentBinary}, c.Content) {
		f.Add(path.Key("content"), "write structured or binary", "content mode %q is not known", c.Content)
	}
	if strings.ContainsAny(c.Stream, ".*> \t\r\n/\\") {
		f.Add(path.Key("stream"), "use letters, digits, - and _", "%q cannot be a stream's name", c.Stream)
	}
	c.validateStates(f, path.Key("state_bucket"))
	if c.Subject != "" {
		if _, err := parseSubject(c.Subject); err != nil {
			f.Add(path.Key("subject"), "write tokens separated by dots, the first one a fixed word, with any of "+
				"{connection}, {uuid}, {kind}, {event} and {detail}, such as "+DefaultSubject, "%s", err)
		}
	}
}

func (c Config) validateStates(f *field.Faults, path field.Path) {
	bucket := c.StateBucket
	switch {
	case bucket == "":
	case strings.Trim(bucket, bucketCharacters) != "":
		f.Add(path, "use letters, digits, - and _, such as virt-domains", "%q cannot be a bucket's name", bucket)
	case c.Mode == ModeCore:
		f.Add(path, "remove state_bucket, or use mode: jetstream", "core mode keeps nothing, and a bucket is kept by JetStream")
	case c.WithDefaults().Stream == streamOf(bucket):
		f.Add(path, "set stream to another one", "stream %s is that of the bucket", c.Stream)
	}
}

// authMethods returns the keys of the ways to log in that are configured.
func (c Config) authMethods() []string {
	var methods []string
	if c.Username != "" || c.Password != "" {
		methods = append(methods, "username")
	}
	for _, m := range []struct{ key, value string }{{"token", c.Token}, {"nkey", c.NKey}, {"creds", c.Creds}} {
		if m.value != "" {
			methods = append(methods, m.key)
		}
	}
	return methods
}

func (c Config) validateAuth(f *field.Faults, path field.Path) {
	if methods := c.authMethods(); len(methods) > 1 {
		f.Add(path.Key(methods[1]), "keep the one that the server asks for",
			"more than one way to log in: %s", strings.Join(methods, ", "))
	}
	if c.Username == "" && c.Password != "" {
		f.Add(path.Key("password"), "add username", "a password without a username")
	}
	if c.Username != "" && c.Password == "" {
		f.Add(path.Key("username"), "add password", "a username without a password")
	}
	tlsfiles.Config(c.TLS).Validate(f, path.Key("tls"))
}

func (c Config) validateStream(f *field.Faults, path field.Path) {
	if c.Mode == ModeCore && c.Create {
		f.Add(path.Key("create"), "remove create, or use mode: jetstream", "core mode has no stream to create")
	}
	if c.Mode == ModeCore && c.Stream != "" {
		f.Add(path.Key("stream"), "remove stream, or use mode: jetstream", "core mode has no stream")
	}
	for _, s := range []struct {
		key string
		set bool
	}{
		{"replicas", c.Replicas != 0},
		{"storage", c.Storage != ""},
		{"max_age", c.MaxAge != 0},
		{"max_bytes", c.MaxBytes != 0},
		{"duplicates", c.Duplicates != 0},
	} {
		if s.set && !c.Create {
			f.Add(path.Key(s.key), "add create: true, or remove it and set it on the stream itself",
				"%s describes a stream to be created, and has no effect without create", s.key)
		}
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		f.Add(path.Key("replicas"), "write 1, 3 or 5", "%d replicas are not possible", c.Replicas)
	}
	if !slices.Contains([]Storage{"", StorageFile, StorageMemory}, c.Storage) {
		f.Add(path.Key("storage"), "write file or memory", "storage %q is not known", c.Storage)
	}
	if c.MaxAge < 0 {
		f.Add(path.Key("max_age"), "write a positive duration, or remove it for no bound", "%s is negative", c.MaxAge)
	}
	if c.MaxBytes < 0 {
		f.Add(path.Key("max_bytes"), "write a number of bytes, or remove it for no bound", "%d is negative", c.MaxBytes)
	}
	switch {
	case c.Duplicates != 0 && c.Duplicates < 100*time.Millisecond:
		f.Add(path.Key("duplicates"), "write at least 100ms; 2m is the default", "%s is too short", c.Duplicates)
	case c.MaxAge > 0 && c.Duplicates > c.MaxAge:
		f.Add(path.Key("duplicates"), "write at most max_age", "%s is longer than max_age %s", c.Duplicates, c.MaxAge)
	}
}

// Servers returns the URLs without what is secret in them, for people to read.
func (c Config) Servers() string { return redact(c.URL) }

// redact returns a list of server URLs without their passwords.
func redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, server := range list {
		if u, err := url.Parse(strings.TrimSpace(server)); err == nil {
			if _, password := u.User.Password(); !password && u.User != nil {
				u.User = url.User("xxxxx") // A lone user is a token.
			}
			list[i] = u.Redacted()
		} else if at := strings.LastIndexByte(server, '@'); at >= 0 {
			list[i] = "…" + server[at:]
		}
	}
	return strings.Join(list, ",")
}
