package libvirttest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

func askForKeepalive(p *peer) {
	p.t.Helper()
	p.must(wire.ProcConnectSupportsFeature, encode(int(wire.FeatureKeepalive)))
}

// TestKeepaliveCutsOffASilentClient has the times measured with libvirtd 9.0.0: PINGs at
// 5, 10, 15, 20 and 25 seconds, the end at 30.
func TestKeepaliveCutsOffASilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		defer s.Close()
		p := openPeer(t, s.Pipe(), s.URI(), 0)
		askForKeepalive(p)
		start := time.Now()
		for i := range 5 {
			f, err := p.nextWithin(time.Minute)
			if err != nil || f.Program != wire.ProgramKeepalive || f.Procedure != wire.ProcKeepalivePing {
				t.Fatalf("got frame %+v, error %v, want a PING", f.Header, err)
			}
			if got, want := time.Since(start), time.Duration(i+1)*5*time.Second; got != want {
				t.Errorf("PING %d after %v, want %v", i+1, got, want)
			}
		}
		if f, err := p.nextWithin(time.Minute); err == nil {
			t.Fatalf("got frame %+v, want the end", f.Header)
		}
		if got := time.Since(start); got != 30*time.Second {
			t.Errorf("end after %v, want 30s", got)
		}
	})
}

func TestKeepaliveSparesALivelyClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		defer s.Close()
		p := openPeer(t, s.Pipe(), s.URI(), 0)
		askForKeepalive(p)
		for range 100 {
			f, err := p.nextWithin(time.Minute)
			if err != nil || f.Procedure != wire.ProcKeepalivePing {
				t.Fatalf("got frame %+v, error %v, want a PING", f.Header, err)
			}
			p.send(keepaliveHeader(wire.ProcKeepalivePong), nil)
		}
	})
}

func TestKeepaliveIsNotSentUnasked(t *testing.T) {
	for name, ask := range map[string]bool{"not asked": false, "switched off": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := Options{}
				if ask {
					opts.KeepaliveInterval = -1
				}
				s := NewServer(opts)
				defer s.Close()
				p := openPeer(t, s.Pipe(), s.URI(), 0)
				if ask {
					askForKeepalive(p)
				}
				p.wantQuiet(10 * time.Minute)
				p.send(keepaliveHeader(wire.ProcKeepalivePing), nil)
				if f, err := p.next(); err != nil || f.Procedure != wire.ProcKeepalivePong {
					t.Errorf("got frame %+v, error %v, want a PONG", f.Header, err)
				}
			})
		})
	}
}

func TestMuteKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(Options{})
		defer s.Close()
		p := openPeer(t, s.Pipe(), s.URI(), 0)
		s.MuteKeepalive(true)
		p.send(keepaliveHeader(wire.ProcKeepalivePing), nil)
		p.wantQuiet(time.Hour)
		p.must(wire.ProcConnectGetType, nil)
	})
}
