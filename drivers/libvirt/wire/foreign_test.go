package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestForeign(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   Foreign // "" for a stream that shows nothing
		says   string
		cure   string
	}{
		"last login":       {"Last login: Mon Mar  2 10:00:00 2026 from 10.0.0.1\r\n", ForeignText, `text comes instead of libvirt's protocol: "Last login: Mon Mar 2 10:00:00 2026 from 10.0.0.1"`, "login script"},
		"text and frames":  {"\n\n  ** Welcome to kvm01 **\n\x00\x00\x00\x1c" + strings.Repeat("\x00", 24), "", "frame length out of range", ""},
		"a coloured motd":  {"\x1b[H\x1b[2J\r\n\x1b[1;32mWelcome\x1b[0m to kvm01\n", ForeignText, `"Welcome to kvm01"`, "login script"},
		"of another age":   {"Zug\xe4nge werden protokolliert\n", ForeignText, `"Zug?nge werden protokolliert"`, "login script"},
		"no shell":         {"This account is currently not available.\n", ForeignText, `"This account is currently not available."`, "may run no command"},
		"a long line":      {strings.Repeat("=", 4000), ForeignText, strings.Repeat("=", 100), "login script"},
		"only white space": {"\n\n\n\n\n", ForeignText, `protocol: ""`, "login script"},
		"a shell's error":  {"sh: 1: exec: nc: not found\n", ForeignText, `"sh: 1: exec: nc: not found"`, "login script"},
		"an ssh server":    {"SSH-2.0-OpenSSH_9.2p1\r\n", ForeignSSH, `an ssh server instead of libvirt: it says "SSH-2.0-OpenSSH_9.2p1"`, "use ssh"},
		"a web server":     {"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", ForeignHTTP, `a web server instead of libvirt: it says "HTTP/1.1 400 Bad Request"`, "check host and port"},
		"a tls alert":      {"\x15\x03\x03\x00\x02\x02\x32", ForeignTLS, "speaks TLS", "use tls"},
		"a tls handshake":  {"\x16\x03\x01\x02\x00\x01", ForeignTLS, "speaks TLS", "use tls"},
		"binary":           {"\xff\xfe\x00\x01\x02\x03", "", "frame length out of range", ""},
		"beyond ASCII":     {"\xff\xfe\xfd\xfc", "", "frame length out of range", ""},
		"too short":        {"\x00\x00\x00\x05Last login", "", "frame length out of range", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := NewReader(strings.NewReader(tt.stream)).Next()
			if !errors.Is(err, ErrFrameLength) {
				t.Fatalf("got %v, want one that wraps ErrFrameLength", err)
			}
			if !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 300 {
				t.Errorf("got %q, want it to say %q", err, tt.says)
			}
			var foreign *ForeignError
			if errors.As(err, &foreign) != (tt.want != "") {
				t.Fatalf("got %v, want %q recognised", err, tt.want)
			}
			if foreign != nil && (foreign.Kind != tt.want || !strings.Contains(foreign.Cure(), tt.cure)) {
				t.Errorf("got %q with the cure %q, want %q with %q", foreign.Kind, foreign.Cure(), tt.want, tt.cure)
			}
		})
	}
}

// FuzzForeign holds that a stream which cannot be a frame's beginning never makes more of
// an error than one bounded line.
func FuzzForeign(f *testing.F) {
	f.Add([]byte("Last login: Mon\n"))
	f.Add([]byte{21, 3, 3, 0, 2})
	f.Fuzz(func(t *testing.T, head []byte) {
		foreign := recognise(head)
		if foreign == nil {
			return
		}
		if text := foreign.Error(); len(text) > 600 || strings.ContainsAny(text, "\n\r\x1b") {
			t.Fatalf("%q", text)
		}
		if foreign.Kind != ForeignTLS && bytes.IndexByte(head[:min(len(head), 1<<10)], 0) >= 0 {
			t.Fatalf("%q is called %s", head, foreign.Kind)
		}
	})
}

// TestPermissionCure holds that a denial names the permission that the call needs: those
// of @acl and @aclfilter in remote_protocol.x.
func TestPermissionCure(t *testing.T) {
	tests := map[string]struct {
		procedure int32
		want      string
	}{
		"open":          {ProcConnectOpen, "must grant connect:getattr to this user (for polkit, the action org.libvirt.api.connect.getattr);"},
		"host name":     {ProcConnectGetHostname, "must grant connect:getattr to this user"},
		"close watch":   {ProcConnectRegisterClose, "must grant connect:getattr to this user"},
		"register":      {ProcDomainEventRegisterAny, "must grant connect:search_domains to this user (for polkit, the action org.libvirt.api.connect.search-domains), and domain:getattr for each domain"},
		"deregister":    {ProcDomainEventDeregisterAny, "must grant connect:read to this user (for polkit, the action org.libvirt.api.connect.read);"},
		"list":          {ProcConnectListAllDomains, "must grant connect:search_domains to this user (for polkit, the action org.libvirt.api.connect.search-domains), and domain:getattr for each domain"},
		"states":        {ProcConnectGetAllDomainStats, "must grant connect:search_domains to this user (for polkit, the action org.libvirt.api.connect.search-domains), and domain:read for each domain"},
		"one state":     {ProcDomainGetState, "must grant domain:read to this user (for polkit, the action org.libvirt.api.domain.read);"},
		"not known":     {0, "must grant connect:getattr, connect:search_domains, connect:read, domain:getattr and domain:read to this user"},
		"needs nothing": {ProcConnectClose, "must grant connect:getattr, connect:search_domains, connect:read, domain:getattr and domain:read to this user"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := PermissionCure(tt.procedure)
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want it to say %q", got, tt.want)
			}
			if !strings.Contains(got, allPermissions) {
				t.Errorf("got %q, want it to name all permissions that virtcast needs", got)
			}
		})
	}
}
