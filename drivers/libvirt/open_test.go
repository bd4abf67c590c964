package libvirt

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/schema"
)

type opened struct {
	s   *Session
	err error
}

// opening is a script that begins with the opening.
type opening struct {
	t    *testing.T // the bubble's own
	p    *peer
	done <-chan opened
}

// scriptedOpen runs a test that plays the peer of an Open, inside a bubble of fake time.
func scriptedOpen(t *testing.T, config Config, options Options, test func(opening)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, dial := newPeer(t)
		options.Dial = dial
		config.Name = "scripted"
		done := make(chan opened, 1)
		go func() {
			s, err := New(config, options).open(t.Context(), func(drivers.Batch) {})
			done <- opened{s, err}
		}()
		test(opening{t, p, done})
	})
}

func wantOpen(t *testing.T, done <-chan opened) *Session {
	t.Helper()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if err := got.s.Close(); err != nil {
		t.Error(err)
	}
	return got.s
}

func TestOpen(t *testing.T) {
	scriptedOpen(t, Config{URI: "qemu:///system"}, Options{}, func(x opening) {
		t, p, done := x.t, x.p, x.done
		h, _ := p.expect(wire.ProcAuthList) // first, always
		p.reply(h, func(e *wire.Encoder) { e.Uint32(1); e.Int32(wire.AuthNone) })
		h, args := p.expect(wire.ProcConnectSupportsFeature)
		if d := wire.NewDecoder(args); d.Int32() != wire.FeatureKeepalive {
			t.Errorf("asked for %x, want keepalive", args)
		}
		p.refuse(h, wire.CodeInternalError) // no reason to give up
		h, args = p.expect(wire.ProcConnectOpen)
		d := wire.NewDecoder(args)
		name, _ := d.OptionalString()
		if flags := d.Uint32(); name != "qemu:///system" || flags != wire.OpenReadOnly || d.Rest() != 0 || d.Err() != nil {
			t.Errorf("opened %q with flags %d", name, flags)
		}
		p.reply(h, nil)
		h, _ = p.expect(wire.ProcConnectGetURI)
		p.reply(h, stringReply("qemu:///system"))
		h, _ = p.expect(wire.ProcConnectGetHostname)
		p.reply(h, stringReply("KVM01.example.com"))
		h, _ = p.expect(wire.ProcConnectGetType)
		p.reply(h, stringReply("QEMU"))
		h, _ = p.expect(wire.ProcConnectGetLibVersion)
		p.reply(h, func(e *wire.Encoder) { e.Uint64(9_000_000) })
		h, args = p.expect(wire.ProcConnectSupportsFeature)
		if d := wire.NewDecoder(args); d.Int32() != wire.FeatureRemoteEventCallback {
			t.Errorf("asked for %x, want event callbacks", args)
		}
		p.reply(h, int32Reply(1))
		s := wantOpen(t, done)
		want := &schema.Connection{
			Name: "scripted", URI: "qemu:///system", Hostname: "KVM01.example.com",
			Source: "qemu://kvm01.example.com/system",
		}
		if diff := cmp.Diff(want, s.Connection()); diff != "" {
			t.Errorf("connection (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(Hypervisor{Type: "QEMU", LibVersion: 9_000_000}, s.Hypervisor()); diff != "" {
			t.Errorf("hypervisor (-want +got):\n%s", diff)
		}
	})
}

func TestOpenFails(t *testing.T) {
	offer := func(types ...int32) func(*wire.Encoder) {
		return func(e *wire.Encoder) {
			e.Uint32(uint32(len(types)))
			for _, v := range types {
				e.Int32(v)
			}
		}
	}
	tests := []struct {
		name string
		act  func(p *peer)
		want string // in the error's text
		is   func(error) bool
	}{
		{"hangs up", func(p *peer) { p.expect(wire.ProcAuthList); _ = p.conn.Close() }, "the daemon closed the connection", nil},
		{"is no libvirtd", func(p *peer) { p.expect(wire.ProcAuthList); _, _ = p.conn.Write([]byte("220 mail.example.com ESMTP")) }, "may not be libvirtd", nil},
		{"says nothing", func(p *peer) { p.expect(wire.ProcAuthList) }, "no answer within 10s", func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"offers nothing", func(p *peer) { h, _ := p.expect(wire.ProcAuthList); p.reply(h, offer()) }, "types []", nil},
		{"offers the unknown", func(p *peer) { h, _ := p.expect(wire.ProcAuthList); p.reply(h, offer(7)) }, "types [7]", nil},
		{"wants SASL", func(p *peer) { h, _ := p.expect(wire.ProcAuthList); p.reply(h, offer(wire.AuthSASL)) }, "wants a login", nil},
		{"malformed list", func(p *peer) { h, _ := p.expect(wire.ProcAuthList); p.reply(h, int32Reply(3)) }, "malformed XDR", nil},
		{"polkit refuses", func(p *peer) {
			h, _ := p.expect(wire.ProcAuthList)
			p.reply(h, offer(wire.AuthPolkit))
			h, _ = p.expect(wire.ProcAuthPolkit)
			p.refuse(h, wire.CodeAuthFailed)
		}, "org.libvirt.unix.monitor", IsAuthentication},
		{"no such driver", func(p *peer) {
			h, _ := p.expect(wire.ProcAuthList)
			p.reply(h, offer(wire.AuthNone))
			h, _ = p.expect(wire.ProcConnectSupportsFeature)
			p.reply(h, int32Reply(1))
			h, _ = p.expect(wire.ProcConnectOpen)
			p.refuse(h, wire.CodeNoConnect)
		}, `open "" read-only`, nil},
		{"access denied", func(p *peer) {
			h, _ := p.expect(wire.ProcAuthList)
			p.reply(h, offer(wire.AuthNone))
			h, _ = p.expect(wire.ProcConnectSupportsFeature)
			p.reply(h, int32Reply(1))
			h, _ = p.expect(wire.ProcConnectOpen)
			p.refuse(h, wire.CodeAccessDenied)
		}, "connect:search_domains", IsAccessDenied},
		{"too old", func(p *peer) {
			h, _ := p.expect(wire.ProcAuthList)
			p.reply(h, offer(wire.AuthNone))
			for _, answer := range []func(*wire.Encoder){
				int32Reply(1), nil, stringReply("test:///default"), stringReply("h"), stringReply("Test"),
				func(e *wire.Encoder) { e.Uint64(1_001_000) }, int32Reply(0),
			} {
				h, _ := p.next()
				p.reply(h, answer)
			}
		}, "too old", IsUnsupported},
		{"states no uri", func(p *peer) {
			h, _ := p.expect(wire.ProcAuthList)
			p.reply(h, offer(wire.AuthNone))
			for _, answer := range []func(*wire.Encoder){
				int32Reply(1), nil, stringReply(""), stringReply("h"), stringReply("Test"),
				func(e *wire.Encoder) { e.Uint64(9_000_000) },
			} {
				h, _ := p.next()
				p.reply(h, answer)
			}
		}, "want one with ://", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scriptedOpen(t, Config{}, Options{}, func(x opening) {
				t, p, done := x.t, x.p, x.done
				tt.act(p)
				got := <-done
				var own *Error
				if got.s != nil || !errors.As(got.err, &own) {
					t.Fatalf("session %v, error %v; want none and an *Error", got.s, got.err)
				}
				if !strings.Contains(got.err.Error(), tt.want) {
					t.Errorf("error %q does not contain %q", got.err, tt.want)
				}
				if tt.is != nil && !tt.is(got.err) {
					t.Errorf("error %v is not of its class", got.err)
				}
			})
		})
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dial := newPeer(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := New(Config{Name: "x"}, Options{Dial: dial}).open(ctx, func(drivers.Batch) {})
			done <- err
		}()
		p.expect(wire.ProcAuthList)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

func TestOpenWithoutDialing(t *testing.T) {
	refused := errors.New("refused")
	tests := []struct {
		name    string
		config  Config
		options Options
		want    string
	}{
		{"no name", Config{}, Options{}, "name: missing"},
		{"no dial", Config{Name: "x"}, Options{}, "no way to dial"},
		{"refused", Config{Name: "x"}, Options{Dial: func(context.Context) (net.Conn, error) { return nil, refused }}, "connection x: dial: refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.config, tt.options).open(t.Context(), func(drivers.Batch) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPolkit(t *testing.T) {
	scriptedOpen(t, Config{}, Options{}, func(x opening) {
		t, p, done := x.t, x.p, x.done
		h, _ := p.expect(wire.ProcAuthList)
		p.reply(h, func(e *wire.Encoder) { e.Uint32(2); e.Int32(wire.AuthSASL); e.Int32(wire.AuthPolkit) })
		h, _ = p.expect(wire.ProcAuthPolkit)
		p.reply(h, int32Reply(1))
		p.welcomeAuthenticated()
		wantOpen(t, done)
	})
}

// TestSASL plays a daemon that wants PLAIN: the message goes out with each byte in a
// word.
func TestSASL(t *testing.T) {
	choose := func(offered []string) (sasl.Mechanism, error) {
		if diff := cmp.Diff([]string{"GSSAPI", "PLAIN"}, offered); diff != "" {
			t.Errorf("offered (-want +got):\n%s", diff)
		}
		return sasl.Choose(offered, sasl.Credentials{Username: "fred", Password: "s€cret"}, sasl.Channel{Encrypted: true, Verified: true})
	}
	tests := []struct {
		name   string
		answer func(p *peer, h wire.Header)
		is     func(error) bool // nil for success
	}{
		{"accepted", func(p *peer, h wire.Header) {
			p.reply(h, func(e *wire.Encoder) { e.Int32(1); e.Int32(1); e.Chars(nil) })
			p.welcomeAuthenticated()
		}, nil},
		{"refused", func(p *peer, h wire.Header) { p.refuse(h, wire.CodeAuthFailed) }, IsAuthentication},
		{"malformed", func(p *peer, h wire.Header) { p.reply(h, int32Reply(1)) }, func(err error) bool { return errors.Is(err, wire.ErrXDR) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scriptedOpen(t, Config{}, Options{SASL: choose}, func(x opening) {
				t, p, done := x.t, x.p, x.done
				h, _ := p.expect(wire.ProcAuthList)
				p.reply(h, func(e *wire.Encoder) { e.Uint32(1); e.Int32(wire.AuthSASL) })
				h, _ = p.expect(wire.ProcAuthSASLInit)
				p.reply(h, stringReply("GSSAPI,PLAIN"))
				h, args := p.expect(wire.ProcAuthSASLStart)
				d := wire.NewDecoder(args)
				mechanism, absent, data := d.String(), d.Int32(), string(d.Chars(wire.MaxSASLData))
				if mechanism != "PLAIN" || absent != 0 || data != "\x00fred\x00s€cret" || d.Err() != nil || d.Rest() != 0 {
					t.Errorf("start of %q: nil %d, %q, %v", mechanism, absent, data, d.Err())
				}
				tt.answer(p, h)
				if tt.is == nil {
					wantOpen(t, done)
					return
				}
				if got := <-done; got.err == nil || !tt.is(got.err) {
					t.Errorf("got %v", got.err)
				}
			})
		})
	}
}

func TestCanonicalSource(t *testing.T) {
	tests := []struct {
		uri, host, want string
	}{
		{"qemu:///system", "kvm01.example.com", "qemu://kvm01.example.com/system"},
		{"QEMU:///system", "KVM01", "qemu://kvm01/system"},
		{"qemu+unix:///system", "kvm01", "qemu://kvm01/system"},
		{"xen+ssh://root@gate:22/system", "kvm01", "xen://kvm01/system"},
		{"test:////srv/lab.xml", "h", "test://h//srv/lab.xml"},
		{"qemu:///embed?root=/srv/a b", "h", "qemu://h/embed?root=/srv/a~20b"},
		{"esx://", "h", "esx://h"},
		{"qemu:///system", "fe80::1", "qemu://[fe80::1]/system"},
		{"qemu:///system", "a:b", "qemu://a~3ab/system"},
		{"qemu:///system", "röm%\"~1/x", "qemu://r~c3~b6m~25~22~7e1~2fx/system"},
		{"test:///a'b\x00#%", "h", "test://h/a~27b~00~23~25"},
	}
	for _, tt := range tests {
		got, err := canonicalSource(tt.uri, tt.host)
		if got != tt.want || err != nil {
			t.Errorf("%q on %q = %q, %v; want %q", tt.uri, tt.host, got, err, tt.want)
		}
	}
	for _, uri := range []string{"", "qemu", "://x", "qemu:/system"} {
		if got, err := canonicalSource(uri, "h"); err == nil {
			t.Errorf("%q = %q, want an error", uri, got)
		}
	}
	if got, err := canonicalSource("qemu:///system", ""); err == nil {
		t.Errorf("no host = %q, want an error", got)
	}
}

func TestHostFallback(t *testing.T) {
	scriptedOpen(t, Config{Host: "dialled.example.com"}, Options{}, func(x opening) {
		t, p, done := x.t, x.p, x.done
		h, _ := p.expect(wire.ProcAuthList)
		p.reply(h, func(e *wire.Encoder) { e.Uint32(1); e.Int32(wire.AuthNone) })
		for _, answer := range []func(*wire.Encoder){int32Reply(1), nil, stringReply("vz:///system")} {
			h, _ := p.next()
			p.reply(h, answer)
		}
		h, _ = p.expect(wire.ProcConnectGetHostname)
		p.refuse(h, wire.CodeNoSupport)
		for _, answer := range []func(*wire.Encoder){stringReply("vz"), func(e *wire.Encoder) { e.Uint64(1) }, int32Reply(1)} {
			h, _ := p.next()
			p.reply(h, answer)
		}
		if got, want := wantOpen(t, done).Connection().Source, "vz://dialled.example.com/system"; got != want {
			t.Errorf("source = %q, want %q", got, want)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	err := Config{CallTimeout: -1, KeepaliveInterval: -time.Second, KeepaliveCount: -2}.Validate()
	faults, others := field.All(err)
	paths := make([]string, 0, len(faults))
	for _, f := range faults {
		paths = append(paths, string(f.Path))
		if f.Cure == "" {
			t.Errorf("%v has no cure", f)
		}
	}
	if diff := cmp.Diff([]string{"name", "call_timeout", "keepalive_interval", "keepalive_count"}, paths); diff != "" || others != nil {
		t.Errorf("faults (-want +got):\n%s%v", diff, others)
	}
	if err := (Config{Name: "x"}).Validate(); err != nil {
		t.Errorf("the zero value with a name: %v", err)
	}
}
