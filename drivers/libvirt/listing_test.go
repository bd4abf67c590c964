package libvirt

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// listAsync lists domains; the result comes on the channel.
func listAsync(ctx context.Context, s *Session) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.List(ctx) }()
	return done
}

// wantListings compares what was listed; only the first listing may be complete.
func wantListings(t *testing.T, c *collector, want ...[]schema.ListedDomain) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := [][]schema.ListedDomain{}
	for i, l := range c.listings {
		got = append(got, l.Domains)
		if l.Complete != (i == 0) {
			t.Errorf("listing %d: complete is %v", i, l.Complete)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listings (-want +got):\n%s", diff)
	}
	c.listings, c.places = nil, nil
}

func testDomain(i int) schema.Object {
	return schema.Object{Name: fmt.Sprintf("d%d", i), UUID: schema.UUID{byte(i + 1)}, ID: int32(i)}
}

func TestDomainsInBulk(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		done := listAsync(t.Context(), s)
		h, args := p.expect(wire.ProcConnectGetAllDomainStats)
		d := wire.NewDecoder(args)
		if d.Uint32() != 0 || d.Uint32() != wire.StatsState || d.Uint32() != wire.StatsNoWait || d.Rest() != 0 {
			t.Errorf("asked with %x", args)
		}
		p.reply(h, func(e *wire.Encoder) {
			e.Uint32(3)
			e.Domain(testDomain(0))
			e.TypedParams([]wire.TypedParam{
				{Field: wire.FieldState, Type: wire.ParamInt, Int: 1},
				{Field: "other", Type: wire.ParamString, String: "x"},
				{Field: wire.FieldReason, Type: wire.ParamInt, Int: 5},
			})
			e.Domain(testDomain(1))
			e.TypedParams(nil) // busy
			e.Domain(testDomain(2))
			e.TypedParams([]wire.TypedParam{{Field: wire.FieldState, Type: wire.ParamInt, Int: 99}})
		})
		h, args = p.expect(wire.ProcDomainGetState)
		if d := wire.NewDecoder(args); d.Domain() != testDomain(1) {
			t.Errorf("asked for the state with %x", args)
		}
		p.reply(h, func(e *wire.Encoder) { e.Int32(3); e.Int32(7) })
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantListings(t, c,
			[]schema.ListedDomain{
				{Object: testDomain(0), State: 1, Reason: 5},
				{Object: testDomain(1)},
				{Object: testDomain(2), State: 99},
			},
			[]schema.ListedDomain{{Object: testDomain(1), State: 3, Reason: 7}},
		)
	})
}

// TestDomainsOneByOne plays a driver without all-domain-stats: at most 4 calls are out at
// a time, answers come out of order, and a domain goes away meanwhile.
func TestDomainsOneByOne(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		const n = 10
		for round := range 2 {
			done := listAsync(t.Context(), s)
			if round == 0 {
				h, _ := p.expect(wire.ProcConnectGetAllDomainStats)
				p.refuse(h, wire.CodeNoSupport)
			} // and is not asked again
			h, _ := p.expect(wire.ProcConnectListAllDomains)
			p.reply(h, func(e *wire.Encoder) {
				e.Uint32(n)
				for i := range n {
					e.Domain(testDomain(i))
				}
				e.Uint32(n)
			})
			type call struct {
				header wire.Header
				domain schema.Object
			}
			var out []call
			var answered []int
			for asked := 0; asked < n || len(out) > 0; {
				if asked < n && len(out) < maxCalls {
					h, args := p.expect(wire.ProcDomainGetState)
					d := wire.NewDecoder(args)
					out = append(out, call{h, d.Domain()})
					asked++
					continue
				}
				synctest.Wait()
				if len(s.slots) != len(out) {
					t.Errorf("%d calls are out, want %d", len(s.slots), len(out))
				}
				last := out[len(out)-1]
				out = out[:len(out)-1]
				if last.domain == testDomain(3) {
					p.refuse(last.header, wire.CodeNoDomain)
				} else {
					p.reply(last.header, func(e *wire.Encoder) { e.Int32(last.domain.ID + 1); e.Int32(0) })
					answered = append(answered, int(last.domain.ID))
				}
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			bare := []schema.ListedDomain{}
			for i := range n {
				bare = append(bare, schema.ListedDomain{Object: testDomain(i)})
			}
			want := [][]schema.ListedDomain{bare}
			for _, i := range answered {
				want = append(want, []schema.ListedDomain{{Object: testDomain(i), State: int32(i) + 1}})
			}
			wantListings(t, c, want...)
		}
	})
}

func TestDomainsFail(t *testing.T) {
	tests := []struct {
		name string
		act  func(p *peer)
		code int32
	}{
		{"denied", func(p *peer) {
			h, _ := p.expect(wire.ProcConnectGetAllDomainStats)
			p.refuse(h, wire.CodeAccessDenied)
		}, wire.CodeAccessDenied},
		{"list denied", func(p *peer) {
			h, _ := p.expect(wire.ProcConnectGetAllDomainStats)
			p.refuse(h, wire.CodeRPC)
			h, _ = p.expect(wire.ProcConnectListAllDomains)
			p.refuse(h, wire.CodeAccessDenied)
		}, wire.CodeAccessDenied},
		{"state fails", func(p *peer) {
			h, _ := p.expect(wire.ProcConnectGetAllDomainStats)
			p.refuse(h, wire.CodeInvalidArg)
			h, _ = p.expect(wire.ProcConnectListAllDomains)
			p.reply(h, func(e *wire.Encoder) { e.Uint32(1); e.Domain(testDomain(0)); e.Uint32(1) })
			h, _ = p.expect(wire.ProcDomainGetState)
			p.refuse(h, wire.CodeSystemError)
		}, wire.CodeSystemError},
		{"malformed", func(p *peer) {
			h, _ := p.expect(wire.ProcConnectGetAllDomainStats)
			p.reply(h, int32Reply(1<<30))
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted(t, Config{}, func(x script) {
				t, s, p := x.t, x.s, x.p
				done := listAsync(t.Context(), s)
				tt.act(p)
				if err := <-done; err == nil || code(err) != tt.code {
					t.Errorf("got %v; want code %d", err, tt.code)
				}
			})
		})
	}
}

func TestNoDomains(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		done := listAsync(t.Context(), s)
		h, _ := p.expect(wire.ProcConnectGetAllDomainStats)
		p.reply(h, func(e *wire.Encoder) { e.Uint32(0) })
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantListings(t, c, []schema.ListedDomain{})
	})
}
