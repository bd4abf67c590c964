package bridge

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

func TestDomainStateRoundTrip(t *testing.T) {
	for _, want := range []domainState{
		{sequence: 1, knowledge: nothing},
		{
			sequence: 1 << 60, event: -1, detail: 1 << 30, id: -1, at: -1, name: "web-1\x00\xff", last: 1 << 62, synthetic: true, since: -7,
			knowledge: knowledge{code: 1 << 30, reason: -1 << 31, persistence: schema.NotPersistent, presence: displaced}, speaks: true,
		},
	} {
		got, err := parseDomainState(want.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(domainState{}, knowledge{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// TestDomainStateV1 holds that what the first version wrote is read, as far as its last event tells.
func TestDomainStateV1(t *testing.T) {
	v1 := []byte{domainStateV1, 9}
	for _, v := range []int64{2, 0, 7, 12345} { // started, booted, id, at
		v1 = binary.AppendVarint(v1, v)
	}
	got, err := parseDomainState(append(v1, "web-1"...))
	if err != nil {
		t.Fatal(err)
	}
	want := domainState{
		sequence: 9, event: 2, id: 7, at: 12345, name: "web-1",
		knowledge: knowledge{code: schema.StateRunning, reason: runningBooted, presence: active},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(domainState{}, knowledge{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for n := range v1 {
		if _, err := parseDomainState(v1[:n]); err == nil {
			t.Errorf("the first %d bytes are read", n)
		}
	}
}

// FuzzSourceState checks that no stored bytes make the bridge panic, and that what is read is written again as it was understood.
func FuzzSourceState(f *testing.F) {
	f.Add((&stampedSource{sequence: 7, connection: hostA}).append(nil))
	f.Add((&stampedSource{sequence: 7}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := stampedSource{name: hostA.Source}
		if got.parse(b) != nil {
			return
		}
		again := stampedSource{name: hostA.Source}
		if err := again.parse(got.append(nil)); err != nil || again.sequence != got.sequence || !cmp.Equal(again.connection, got.connection) {
			t.Errorf("%+v is written as %+v, %v", got, again, err)
		}
	})
}

// FuzzDomainState checks that no stored bytes make the bridge panic, and that
// what is read is written again as it was understood.
func FuzzDomainState(f *testing.F) {
	state := domainState{sequence: 7, event: 2, detail: 1, id: -1, at: 1, name: "web-1"}
	f.Add(state.append(nil))
	f.Add([]byte{domainStateV2})
	f.Add([]byte{domainStateV1, 1, 4, 0, 14, 2, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseDomainState(b)
		if err != nil {
			return
		}
		again, err := parseDomainState(got.append(nil))
		if err != nil || again != got {
			t.Errorf("%+v is written as %+v, %v", got, again, err)
		}
	})
}

// BenchmarkStamp stamps the events of domains that are known, as the committer does.
func BenchmarkStamp(b *testing.B) {
	for name, connections := range map[string][]*schema.Connection{"one source": {hostA}, "two sources": {hostA, hostB}} {
		b.Run(name, func(b *testing.B) {
			const domains = 10_000
			s := testStamper(b)
			observations := make([]schema.Observation, 0, domains*len(connections))
			for d := range domains {
				for _, c := range connections {
					uuid := schema.UUID{1, byte(d >> 8), byte(d)}
					observations = append(observations, schema.Observation{
						Connection: c, Kind: schema.KindLifecycle, Received: time.Unix(1_800_000_000, 0),
						Object: schema.Object{UUID: uuid, Name: "web-1", ID: 7},
					})
				}
			}
			life := [...][2]int32{{0, 0}, {4, 0}, {2, 0}, {6, 2}, {5, 1}}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				o := &observations[n%len(observations)]
				step := life[n/len(observations)%len(life)]
				o.Event, o.Detail = step[0], step[1]
				s.stamp(o)
				if n%1000 == 999 {
					s.commit()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
