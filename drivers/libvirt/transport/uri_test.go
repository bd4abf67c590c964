package transport

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURI(t *testing.T) {
	tests := map[string]struct {
		in        string
		want      URI
		openName  string
		canonical string
	}{
		"local system": {
			in:       "qemu:///system",
			want:     URI{Driver: "qemu", Transport: Unix, Path: "/system"},
			openName: "qemu:///system", canonical: "qemu+unix:///system",
		},
		"a host means tls": {
			in:       "qemu://kvm01.example.com/system",
			want:     URI{Driver: "qemu", Transport: TLS, Host: "kvm01.example.com", Path: "/system"},
			openName: "qemu:///system", canonical: "qemu+tls://kvm01.example.com/system",
		},
		"tls without a host is this one": {
			in:       "qemu+tls:///system",
			want:     URI{Driver: "qemu", Transport: TLS, Path: "/system"},
			openName: "qemu:///system", canonical: "qemu+tls:///system",
		},
		"transport in any case": {
			in:       "LXC+TCP://h:1234/system",
			want:     URI{Driver: "lxc", Transport: TCP, Host: "h", Port: 1234, Path: "/system"},
			openName: "lxc:///system", canonical: "lxc+tcp://h:1234/system",
		},
		"ssh with everything": {
			in: "qemu+ssh://root@h:2222/system?keyfile=/k%20k&known_hosts=/kh&sshauth=privkey,agent&proxy=netcat&netcat=/bin/nc&no_tty=1&mode=legacy&no_verify=1",
			want: URI{
				Driver: "qemu", Transport: SSH, User: "root", Host: "h", Port: 2222, Path: "/system", KeyFile: "/k k",
				KnownHosts: "/kh", SSHAuth: []string{"privkey", "agent"}, Proxy: ProxyNetcat, Netcat: "/bin/nc", Mode: ModeLegacy, NoVerify: true,
			},
			openName:  "qemu:///system",
			canonical: "qemu+ssh://root@h:2222/system?mode=legacy&proxy=netcat&netcat=/bin/nc&keyfile=/k%20k&known_hosts=/kh&sshauth=privkey,agent&no_verify=1",
		},
		"libssh2 is ssh": {
			in:       "qemu+libssh2://h/system?known_hosts_verify=ignore",
			want:     URI{Driver: "qemu", Transport: SSH, Host: "h", Path: "/system", NoVerify: true},
			openName: "qemu:///system", canonical: "qemu+ssh://h/system?no_verify=1",
		},
		"defaults are left out": {
			in:       "qemu+libssh://h/system?known_hosts_verify=normal&mode=auto&proxy=auto&no_verify=0&no_tty=0",
			want:     URI{Driver: "qemu", Transport: SSH, Host: "h", Path: "/system"},
			openName: "qemu:///system", canonical: "qemu+ssh://h/system",
		},
		"IPv6 with a zone": {
			in:       "xen://[fe80::1%25eth0]:7/",
			want:     URI{Driver: "xen", Transport: TLS, Host: "fe80::1%eth0", Port: 7, Path: "/"},
			openName: "xen:///", canonical: "xen+tls://[fe80::1%25eth0]:7/",
		},
		"no path": {
			in:       "xen://h",
			want:     URI{Driver: "xen", Transport: TLS, Host: "h", Path: "/"},
			openName: "xen:///", canonical: "xen+tls://h/",
		},
		"socket and name": {
			in:       "test+unix:///default?socket=/tmp/a+b;name=test:///x%26y",
			want:     URI{Driver: "test", Transport: Unix, Path: "/default", Socket: "/tmp/a+b", Name: "test:///x&y"},
			openName: "test:///x&y", canonical: "test+unix:///default?name=test:///x%26y&socket=/tmp/a%2Bb",
		},
		"parameter names in any case": {
			in:       "qemu://h/system?PKIpath=/pki&No_Verify=1&authfile=/a",
			want:     URI{Driver: "qemu", Transport: TLS, Host: "h", Path: "/system", PKIPath: "/pki", NoVerify: true, AuthFile: "/a"},
			openName: "qemu:///system", canonical: "qemu+tls://h/system?no_verify=1&pkipath=/pki&authfile=/a",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseURI(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Errorf("ParseURI (-want +got):\n%s", diff)
			}
			if got := got.OpenName(); got != tc.openName {
				t.Errorf("OpenName: got %s, want %s", got, tc.openName)
			}
			if got := got.String(); got != tc.canonical {
				t.Errorf("String:\n got %s\nwant %s", got, tc.canonical)
			}
		})
	}
}

func TestParseURIErrors(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"empty":                 {"", "no driver"},
		"no scheme":             {"/system", "no driver"},
		"no slashes":            {"qemu:system", "two slashes must follow qemu:"},
		"one slash":             {"qemu:/system", "two slashes must follow qemu:"},
		"password":              {"qemu+ssh://root:geheim@h/system", "a password in the URI"},
		"password in bad URI":   {"qemu+ssh://root:geheim@h:port/system", "write it like"},
		"password with a slash": {"qemu+ssh://root:geheim/x@h/system", "write it like"},
		"remote":                {"remote://h/", "name it, as in qemu:///system"},
		"transport unknown":     {"qemu+foo://h/system", `transport "foo" is unknown; it is one of unix, tcp, tls, ssh`},
		"transport empty":       {"qemu+://h/system", `transport "" is unknown`},
		"ext":                   {"qemu+ext:///system?command=/bin/x", "runs a program of your choice"},
		"unix with host":        {"qemu+unix://h/system", "a unix socket has no host"},
		"unix with user":        {"qemu://u@/system", "a unix socket has no host, port or user"},
		"user on tls":           {"qemu://u@h/system", "put it into the file that authfile= names"},
		"port zero":             {"qemu://h:0/system", "is not a number from 1 to 65535"},
		"port too large":        {"qemu://h:65536/system", "is not a number from 1 to 65535"},
		"host with space":       {"qemu://a%20b/system", "write it like"},
		"host is an option":     {"qemu+ssh://-oProxyCommand=x/system", "is not a host name or address"},
		"fragment":              {"qemu:///system#x", "'#' has no meaning"},
		"unknown parameter":     {"qemu://h/system?no_verfy=1", `parameter "no_verfy" is unknown (libvirt would hand it to the hypervisor's driver; virtcast does not); remove it, or use one of name, mode, no_verify, pkipath, authfile`},
		"wrong transport":       {"qemu://h/system?keyfile=/k", `parameter "keyfile" has no meaning for tls`},
		"twice":                 {"qemu://h/system?mode=auto&MODE=auto", `parameter "mode" is there twice`},
		"tls_priority":          {"qemu://h/system?tls_priority=NORMAL", "GnuTLS setting"},
		"command":               {"qemu+ssh://h/system?command=/usr/bin/ssh", "no program is run"},
		"no_sanity":             {"qemu://h/system?no_sanity=1", "certificates are always checked"},
		"bad switch":            {"qemu://h/system?no_verify=yes", "neither 0 nor 1"},
		"bad mode":              {"qemu:///system?mode=x", "mode=x is unknown; it is one of auto direct legacy"},
		"direct over tls":       {"qemu://h/system?mode=direct", "mode=direct cannot be had over tls"},
		"direct for test":       {"test:///default?mode=direct", "driver test has no daemon of its own"},
		"bad proxy":             {"qemu+ssh://h/system?proxy=x", "it is one of auto netcat native"},
		"native with netcat":    {"qemu+ssh://h/system?proxy=native&netcat=nc", "remove one of the two"},
		"native with socket":    {"qemu+ssh://h/system?proxy=native&socket=/s", "remove proxy or socket"},
		"netcat with session":   {"qemu+ssh://h/session?proxy=netcat", "netcat cannot find the session daemon's socket"},
		"password login":        {"qemu+ssh://h/system?sshauth=agent,password", "sshauth=password needs someone to type"},
		"sshauth unknown":       {"qemu+ssh://h/system?sshauth=", "it is a list of agent and privkey"},
		"trust on first use":    {"qemu+ssh://h/system?known_hosts_verify=auto", "would trust the first host that answers"},
		"relative socket":       {"qemu:///system?socket=run/sock", "is not an absolute path"},
		"empty value":           {"qemu:///system?socket=", "socket is empty"},
		"bad escape in value":   {"qemu:///system?socket=/a%zz", "invalid URL escape"},
		"NUL in value":          {"qemu:///system?socket=/a%00", "NUL byte"},
		"control character":     {"qemu:///sys\x7ftem", "write it like"},
		"bad IPv6":              {"qemu://[::zz]/system", "write it like"},
		"zone with odd bytes":   {"qemu://[fe80::1%25a%5Db]/system", "is not a host name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseURI(tc.in)
			if !errors.Is(err, ErrURI) {
				t.Fatalf("got %v, want ErrURI", err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want it to say %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("the message shows the password: %q", err)
			}
		})
	}
}

// FuzzURI holds that what parses has a canonical form that parses to the same again.
func FuzzURI(f *testing.F) {
	for _, seed := range []string{
		"qemu:///system", "qemu+ssh://u@h:22/session?keyfile=/a%20b&sshauth=agent", "xen://[fe80::1%25eth0]:7/", "test+unix:///default?socket=/s&name=a%26b",
		"ch+tcp://127.0.0.1/system?mode=legacy;authfile=x", "vbox:///a%2Fb%3F", "qemu://h/..//%00?no_verify=1&pkipath=%C3%A4",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		first, err := ParseURI(in)
		if err != nil {
			if !errors.Is(err, ErrURI) {
				t.Fatalf("not ErrURI: %v", err)
			}
			return
		}
		canonical := first.String()
		second, err := ParseURI(canonical)
		if err != nil {
			t.Fatalf("%q became %q, which does not parse: %v", in, canonical, err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatalf("%q became %q, which differs (-first +second):\n%s", in, canonical, diff)
		}
		if again := second.String(); again != canonical {
			t.Fatalf("%q became %q became %q", in, canonical, again)
		}
		if first.OpenName() == "" {
			t.Fatalf("%q has no name to open", in)
		}
	})
}

// TestVerified holds which daemons a password may be shown to.
func TestVerified(t *testing.T) {
	for uri, want := range map[string]bool{
		"qemu:///system":                                 true,
		"qemu://h/system":                                true,
		"qemu+ssh://h/system":                            true,
		"qemu+tcp://h/system":                            false,
		"qemu://h/system?no_verify=1":                    false,
		"qemu://h/system?no_verify=0":                    true,
		"qemu+ssh://h/system?no_verify=1":                false,
		"qemu+ssh://h/system?known_hosts_verify=ignore":  false,
		"qemu+ssh://h/system?known_hosts_verify=normal":  true,
		"qemu+libssh2://h/system?no_verify=1&no_tty=1":   false,
		"qemu+unix:///system?socket=/run/libvirt/x":      true,
		"qemu+tls://h/system?pkipath=/etc/x&no_verify=1": false,
	} {
		if got := mustParse(t, uri).Verified(); got != want {
			t.Errorf("%s: got %t, want %t", uri, got, want)
		}
	}
}
