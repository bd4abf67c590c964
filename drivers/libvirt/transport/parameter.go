package transport

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// parameter is one row of the table of URI parameters.
type parameter struct {
	name string
	// kinds are the transports for which it has a meaning; nil means all.
	kinds []Kind
	set   func(u *URI, value string) error
	// get returns the value as [URI.String] writes it, "" to leave it out.
	get func(u *URI) string
}

// parameters holds every parameter that is understood, in the order of [URI.String].
var parameters = []parameter{
	text("name", nil, func(u *URI) *string { return &u.Name }),
	choice("mode", nil, func(u *URI) *Mode { return &u.Mode }, ModeAuto, ModeDirect, ModeLegacy),
	path("socket", []Kind{Unix, SSH}, func(u *URI) *string { return &u.Socket }),
	choice("proxy", []Kind{SSH}, func(u *URI) *Proxy { return &u.Proxy }, ProxyAuto, ProxyNetcat, ProxyNative),
	text("netcat", []Kind{SSH}, func(u *URI) *string { return &u.Netcat }),
	text("keyfile", []Kind{SSH}, func(u *URI) *string { return &u.KeyFile }),
	text("known_hosts", []Kind{SSH}, func(u *URI) *string { return &u.KnownHosts }),
	{"known_hosts_verify", []Kind{SSH}, setKnownHostsVerify, unset},
	{"sshauth", []Kind{SSH}, setSSHAuth, func(u *URI) string { return strings.Join(u.SSHAuth, ",") }},
	{"no_tty", []Kind{SSH}, setNoTTY, unset},
	{"no_verify", []Kind{TLS, SSH}, setNoVerify, func(u *URI) string {
		if u.NoVerify {
			return "1"
		}
		return ""
	}},
	text("pkipath", []Kind{TLS}, func(u *URI) *string { return &u.PKIPath }),
	text("authfile", nil, func(u *URI) *string { return &u.AuthFile }),
}

// refused holds the parameters of libvirt that cannot be had here, with the reason and
// the cure.
var refused = map[string]string{
	"tls_priority": "it is a GnuTLS setting; Go's TLS chooses versions and ciphers itself, so remove it",
	"command":      "ssh is spoken in this process, no program is run; remove it",
	"no_sanity":    "certificates are always checked; remove it, or replace them",
	"auth":         "the login follows from what the daemon asks for; remove it",
}

func unset(*URI) string { return "" }

func text(name string, kinds []Kind, field func(*URI) *string) parameter {
	return parameter{name, kinds, func(u *URI, value string) error {
		if value == "" {
			return uriError("%s is empty; give it a value or remove it", name)
		}
		if strings.ContainsRune(value, 0) {
			return uriError("%s holds a NUL byte", name)
		}
		*field(u) = value
		return nil
	}, func(u *URI) string { return *field(u) }}
}

// path is a text that must be an absolute path.
func path(name string, kinds []Kind, field func(*URI) *string) parameter {
	p := text(name, kinds, field)
	set := p.set
	p.set = func(u *URI, value string) error {
		if value != "" && value[0] != '/' {
			return uriError("%s=%s is not an absolute path", name, value)
		}
		return set(u, value)
	}
	return p
}

// choice is one of several words, of which the first is the default.
func choice[T ~string](name string, kinds []Kind, field func(*URI) *T, values ...T) parameter {
	return parameter{name, kinds, func(u *URI, value string) error {
		if !slices.Contains(values, T(value)) {
			return uriError("%s=%s is unknown; it is one of %s", name, value, strings.Trim(fmt.Sprint(values), "[]"))
		}
		*field(u) = T(value)
		if T(value) == values[0] {
			*field(u) = ""
		}
		return nil
	}, func(u *URI) string { return string(*field(u)) }}
}

func parseSwitch(name, value string) (bool, error) {
	switch value {
	case "0", "1":
		return value == "1", nil
	default:
		return false, uriError("%s=%s is neither 0 nor 1", name, value)
	}
}

func setNoVerify(u *URI, value string) error {
	on, err := parseSwitch("no_verify", value)
	u.NoVerify = u.NoVerify || on
	return err
}

// setNoTTY accepts both values: nothing is ever asked on a terminal.
func setNoTTY(_ *URI, value string) error {
	_, err := parseSwitch("no_tty", value)
	return err
}

func setKnownHostsVerify(u *URI, value string) error {
	switch value {
	case "normal":
	case "ignore":
		u.NoVerify = true
	case "auto":
		return uriError("known_hosts_verify=auto would trust the first host that answers; add the host's key with ssh-keyscan, or use ignore")
	default:
		return uriError("known_hosts_verify=%s is unknown; it is normal or ignore", value)
	}
	return nil
}

func setSSHAuth(u *URI, value string) error {
	for way := range strings.SplitSeq(value, ",") {
		switch way {
		case sshAuthAgent, sshAuthKey:
			if !slices.Contains(u.SSHAuth, way) {
				u.SSHAuth = append(u.SSHAuth, way)
			}
		case "password", "keyboard-interactive":
			return uriError("sshauth=%s needs someone to type a password; use agent or privkey", way)
		default:
			return uriError("sshauth=%s is unknown; it is a list of agent and privkey", way)
		}
	}
	return nil
}

// setParameters parses a query as libvirt does: separated by & or ;, names in any case,
// percent escapes, and a plus sign is a plus sign.
func (u *URI) setParameters(query string) error {
	seen := map[string]bool{}
	for part := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, err := url.PathUnescape(rawName)
		if err != nil {
			return uriError("parameter %q: %v", rawName, err)
		}
		value, err := url.PathUnescape(rawValue)
		if err != nil {
			return uriError("parameter %q: %v", rawName, err)
		}
		name = strings.ToLower(name)
		if seen[name] {
			return uriError("parameter %q is there twice", name)
		}
		seen[name] = true
		if err := u.setParameter(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (u *URI) setParameter(name, value string) error {
	if reason, ok := refused[name]; ok {
		return uriError("parameter %q is not supported: %s", name, reason)
	}
	i := slices.IndexFunc(parameters, func(p parameter) bool { return p.name == name })
	if i < 0 {
		return uriError("parameter %q is unknown (libvirt would hand it to the hypervisor's driver; virtcast does not); remove it, or use one of %s", name, known(u.Transport))
	}
	p := parameters[i]
	if p.kinds != nil && !slices.Contains(p.kinds, u.Transport) {
		return uriError("parameter %q has no meaning for %s; remove it", name, u.Transport)
	}
	return p.set(u, value)
}

// known lists the parameters of a transport.
func known(kind Kind) string {
	var names []string
	for _, p := range parameters {
		if p.kinds == nil || slices.Contains(p.kinds, kind) {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ", ")
}

// escape percent-encodes all but what is plain in a query's value.
func escape(s string) string {
	const plain = "-._~/:,@"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isAlphanumeric(c) || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
