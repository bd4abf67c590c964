package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Kind is the transport of a connection.
type Kind string

// The transports.
const (
	Unix Kind = "unix"
	TCP  Kind = "tcp"
	TLS  Kind = "tls"
	SSH  Kind = "ssh"
)

// Encrypted says that nobody on the network can read along: true for TLS and SSH, and for
// unix sockets, which are not on the network; false for TCP. Passwords go over encrypted
// transports only.
func (k Kind) Encrypted() bool { return k == TLS || k == SSH || k == Unix }

// Mode says which sockets are meant: the hypervisor's own daemon (direct, virtqemud), the
// one daemon for all (legacy, libvirtd or virtproxyd), or whichever is there.
type Mode string

// The modes; the empty Mode is ModeAuto.
const (
	ModeAuto   Mode = "auto"
	ModeDirect Mode = "direct"
	ModeLegacy Mode = "legacy"
)

// Proxy says what runs at the far end of an SSH connection.
type Proxy string

// The proxies; the empty Proxy is ProxyAuto: virt-ssh-helper where it is installed, else
// netcat.
const (
	ProxyAuto   Proxy = "auto"
	ProxyNetcat Proxy = "netcat"
	ProxyNative Proxy = "native"
)

// The ways to log in over SSH, in sshauth=.
const (
	sshAuthAgent = "agent"
	sshAuthKey   = "privkey"
)

// URI is a parsed libvirt URI. Empty fields mean "not given".
type URI struct {
	// Driver is the hypervisor's: qemu, lxc, xen, test, and so on.
	Driver    string
	Transport Kind
	User      string
	// Host is without brackets. It is empty on unix; on the others empty means localhost.
	Host string
	// Port is 0 for the transport's own.
	Port int
	// Path begins with a slash: /system, /session, /default.
	Path string

	// Name overrides what is sent to the daemon as the URI to open.
	Name  string
	Mode  Mode
	Proxy Proxy
	// Socket is the path of the daemon's socket, on the remote host if over SSH.
	Socket string
	Netcat string
	// KeyFile, KnownHosts, PKIPath and AuthFile are local paths, taken as they are: a
	// leading ~ is not expanded.
	KeyFile    string
	KnownHosts string
	PKIPath    string
	AuthFile   string
	// SSHAuth holds the ways to log in over SSH, "agent" and "privkey", in any order; nil
	// means both.
	SSHAuth []string
	// NoVerify leaves the server unidentified: no certificate check (TLS), no check of
	// the host key (SSH, where known_hosts_verify=ignore says the same).
	NoVerify bool
}

// Verified says that the peer is the daemon that was meant: its certificate (TLS) or host
// key (SSH) is checked before a byte of the protocol is sent, or it is on this machine
// (unix). It is false for TCP, and with no_verify=1. A password may be shown to a
// verified daemon only.
func (u *URI) Verified() bool {
	switch u.Transport {
	case Unix:
		return true
	case TLS, SSH:
		return !u.NoVerify
	default:
		return false
	}
}

// ErrURI is returned, wrapped, for a text that is not a usable libvirt URI. The message
// names the cure and never holds a password.
var ErrURI = errors.New("invalid libvirt URI")

func uriError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrURI}, args...)...)
}

// ParseURI parses driver[+transport]://[user@][host][:port]/[path][?parameters]. Without
// a transport, a host means tls and none means unix. The error wraps [ErrURI].
func ParseURI(s string) (*URI, error) {
	raw, err := url.Parse(s)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // Without the text.
		}
		if strings.Contains(s, "@") {
			err = errors.New("it does not parse") // The reason may quote a password.
		}
		return nil, uriError("%v; write it like qemu:///system or qemu+ssh://root@host/system", err)
	}
	if err := checkShape(raw, s); err != nil {
		return nil, err
	}
	u := &URI{Path: raw.Path, Host: raw.Hostname(), User: raw.User.Username()}
	if u.Path == "" {
		u.Path = "/"
	}
	if u.Port, err = parsePort(raw.Port()); err != nil {
		return nil, err
	}
	if err := u.setScheme(raw.Scheme); err != nil {
		return nil, err
	}
	if err := u.checkAuthority(); err != nil {
		return nil, err
	}
	if err := u.setParameters(raw.RawQuery); err != nil {
		return nil, err
	}
	if err := u.checkTogether(); err != nil {
		return nil, err
	}
	return u, nil
}

func checkShape(raw *url.URL, s string) error {
	scheme, rest, _ := strings.Cut(s, ":")
	switch _, password := raw.User.Password(); {
	case password:
		return uriError("a password in the URI would end up in logs and events; remove it and use authfile= (SASL) or a key (ssh)")
	case raw.Scheme == "":
		return uriError("no driver; write it like qemu:///system")
	case !strings.HasPrefix(rest, "//"):
		return uriError("two slashes must follow %s:, and a third if there is no host; write it like %s:///system", scheme, scheme)
	case raw.Fragment != "" || strings.Contains(s, "#"):
		return uriError("'#' has no meaning; remove it, or write it as %%23")
	}
	return nil
}

func parsePort(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, uriError("port %q is not a number from 1 to 65535", s)
	}
	return int(port), nil
}

func (u *URI) setScheme(scheme string) error {
	driver, transport, given := strings.Cut(scheme, "+")
	u.Driver = driver
	if driver == "" || driver == "remote" {
		return uriError("driver %q lets the daemon choose the hypervisor; name it, as in qemu:///system", driver)
	}
	switch {
	case !given && u.Host != "":
		u.Transport = TLS
	case !given:
		u.Transport = Unix
	case transport == "libssh" || transport == "libssh2":
		u.Transport = SSH
	case transport == "ext":
		return uriError("transport ext runs a program of your choice, which virtcast does not do; use ssh, tls or unix")
	default:
		u.Transport = Kind(transport)
	}
	switch u.Transport {
	case Unix, TCP, TLS, SSH:
		return nil
	default:
		return uriError("transport %q is unknown; it is one of unix, tcp, tls, ssh", transport)
	}
}

// checkAuthority checks user, host and port against the transport.
func (u *URI) checkAuthority() error {
	if !validHost(u.Host) {
		return uriError("host %q is not a host name or address", u.Host)
	}
	if u.Transport == Unix && (u.Host != "" || u.Port != 0 || u.User != "") {
		return uriError("a unix socket has no host, port or user; remove them, or use ssh, tls or tcp instead of unix")
	}
	if u.Transport != SSH && u.User != "" {
		return uriError("a user has no meaning for %s; for a SASL login put it into the file that authfile= names", u.Transport)
	}
	return nil
}

// validHost accepts host names, IPv4, and IPv6 with an optional zone.
func validHost(host string) bool {
	name, zone, _ := strings.Cut(host, "%")
	if strings.Contains(name, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil && plainName(zone)
	}
	return plainName(host) && !strings.HasPrefix(host, "-")
}

func plainName(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r > 127 || !isAlphanumeric(byte(r)) && !strings.ContainsRune("-._", r)
	}) < 0
}

// checkTogether checks what no single parameter can tell.
func (u *URI) checkTogether() error {
	switch {
	case u.Mode == ModeDirect && (u.Transport == TCP || u.Transport == TLS):
		return uriError("mode=direct cannot be had over %s, whose port is that of libvirtd or virtproxyd; remove mode", u.Transport)
	case u.Mode == ModeDirect && u.Driver == testDriver:
		return uriError("driver test has no daemon of its own, so mode=direct finds none; remove mode")
	case u.Proxy == ProxyNative && u.Netcat != "":
		return uriError("proxy=native uses virt-ssh-helper, so netcat= has no meaning; remove one of the two")
	case u.Proxy == ProxyNative && u.Socket != "":
		return uriError("proxy=native finds the socket by itself; remove proxy or socket")
	case u.Transport == SSH && u.Path == "/session" && u.Socket == "" && u.remoteProxy() == ProxyNetcat:
		return uriError("netcat cannot find the session daemon's socket on the other host; use proxy=native, or name it with socket=")
	}
	return nil
}

// OpenName returns the URI that is sent to the daemon to open: name= if given, else the
// driver and the path alone.
func (u *URI) OpenName() string {
	if u.Name != "" {
		return u.Name
	}
	return u.Driver + "://" + (&url.URL{Path: u.Path}).EscapedPath()
}

// String returns the canonical form: the transport always named, default values left out,
// parameters in a fixed order. It holds no secret, only the paths of files with secrets.
// ParseURI of it gives an equal URI.
func (u *URI) String() string {
	var b strings.Builder
	b.WriteString(u.Driver + "+" + string(u.Transport) + "://")
	if u.User != "" {
		b.WriteString(url.User(u.User).String() + "@")
	}
	host := u.Host
	if strings.Contains(host, ":") {
		host = "[" + strings.ReplaceAll(host, "%", "%25") + "]"
	}
	b.WriteString(host)
	if u.Port != 0 {
		b.WriteString(":" + strconv.Itoa(u.Port))
	}
	b.WriteString((&url.URL{Path: u.Path}).EscapedPath())
	separator := "?"
	for _, p := range parameters {
		if value := p.get(u); value != "" {
			b.WriteString(separator + p.name + "=" + escape(value))
			separator = "&"
		}
	}
	return b.String()
}

// host returns the host to connect to.
func (u *URI) host() string {
	if u.Host == "" {
		return "localhost"
	}
	return u.Host
}

// address returns host:port to connect to.
func (u *URI) address() string {
	port := u.Port
	if port == 0 {
		port = map[Kind]int{TCP: 16509, TLS: 16514, SSH: 22}[u.Transport]
	}
	return net.JoinHostPort(u.host(), strconv.Itoa(port))
}

// remoteProxy resolves ProxyAuto where libvirt does: a socket or a netcat program that
// was named means netcat; a session daemon, whose socket only virt-ssh-helper can find,
// means native.
func (u *URI) remoteProxy() Proxy {
	switch {
	case u.Proxy != "" && u.Proxy != ProxyAuto:
		return u.Proxy
	case u.Socket != "" || u.Netcat != "":
		return ProxyNetcat
	case u.Path == "/session":
		return ProxyNative
	default:
		return ProxyAuto
	}
}
