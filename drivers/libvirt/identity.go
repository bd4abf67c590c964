package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// identify asks the daemon who it is, and makes the connection's identity of it.
func (s *Session) identify(ctx context.Context) error {
	uri, err := s.text(ctx, wire.ProcConnectGetURI, "uri")
	if err != nil {
		return err
	}
	hostname, err := s.text(ctx, wire.ProcConnectGetHostname, "host name")
	if err != nil && code(err) == 0 { // some drivers have none
		return err
	}
	driver, err := s.text(ctx, wire.ProcConnectGetType, "type")
	if err != nil {
		return err
	}
	payload, err := s.call(ctx, wire.ProcConnectGetLibVersion, nil)
	if err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	d := wire.NewDecoder(payload)
	version := d.Uint64()
	if err := d.Err(); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	host := hostname
	if host == "" {
		host = s.config.Host
	}
	source, err := canonicalSource(uri, host)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connection = &schema.Connection{Name: s.config.Name, URI: uri, Hostname: hostname, Source: source}
	s.hypervisor = Hypervisor{Type: driver, LibVersion: version}
	return nil
}

// text makes a call that takes nothing and returns a string, which is cut if it is too
// long.
func (s *Session) text(ctx context.Context, procedure int32, what string) (string, error) {
	payload, err := s.call(ctx, procedure, nil)
	if err != nil {
		return "", fmt.Errorf("ask for the %s: %w", what, err)
	}
	d := wire.NewDecoder(payload)
	text := d.String()
	if err := d.Err(); err != nil {
		return "", fmt.Errorf("ask for the %s: %w", what, err)
	}
	if len(text) > drivers.MaxText {
		text = cut(text)
	}
	return text, nil
}

// canonicalSource returns the URI that a daemon states with the host in it:
// "qemu:///system" on kvm01 becomes "qemu://kvm01/system". It identifies events for ever,
// so it depends on nothing but the driver, the host and the path:
//
//   - scheme and host are in lower case; a transport ("+tcp"), a user, a port and a host
//     that the URI already has are left out, since they are ways to get there;
//   - the query stays, since libvirt's drivers identify hypervisors with it (embed's
//     root);
//   - a byte that may not stand where it does, or not in the attribute (space, quote,
//     percent, controls, beyond ASCII; '/', '?', '#', '@' and ':' in the host) becomes
//     "~" and its two hexadecimal digits, and "~" itself "~7e": different names stay
//     different. An IPv6 address is set in brackets.
func canonicalSource(uri, host string) (string, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" {
		return "", fmt.Errorf("the daemon states the uri %q, want one with ://", uri)
	}
	if host == "" {
		return "", errors.New("the daemon states no host name, and the uri has none")
	}
	scheme, _, _ = strings.Cut(scheme, "+")
	path := ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		path = rest[i:]
	}
	var b strings.Builder
	escape(&b, strings.ToLower(scheme), "")
	b.WriteString("://")
	host = strings.ToLower(host)
	if address, err := netip.ParseAddr(host); err == nil && address.Is6() {
		b.WriteByte('[')
		escape(&b, host, ":.")
		b.WriteByte(']')
	} else {
		escape(&b, host, "_.")
	}
	escape(&b, path, "/?=&_.:,;@+!$()*")
	return b.String(), nil
}

// escape writes text with every byte but letters, digits, "-" and those of allowed
// escaped.
func escape(b *strings.Builder, text, allowed string) {
	const digits = "0123456789abcdef"
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-',
			strings.IndexByte(allowed, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('~')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
}
