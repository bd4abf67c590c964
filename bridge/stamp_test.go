package bridge

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

var (
	hostA = &schema.Connection{Name: "a", URI: "qemu:///system", Hostname: "a.example.com", Source: "qemu://a.example.com/system"}
	hostB = &schema.Connection{Name: "b", URI: "qemu:///system", Hostname: "b.example.com", Source: "qemu://b.example.com/system"}
)

func testStamper(t testing.TB) *stamper {
	t.Helper()
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := newStamper(j)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestObjectKeys: what is written as a key is read again; the keys of domains are those
// of earlier versions.
func TestObjectKeys(t *testing.T) {
	for _, want := range []schema.ObjectKey{
		{UUID: schema.UUID{1, 15: 2}},
		{},
		{Family: schema.FamilyNetwork, UUID: schema.UUID{0: 0, 15: 2}},
		{Family: schema.FamilyNodeDevice, Name: "pci_0000_00_02_0"},
	} {
		key := appendObjectKey(nil, hostA.Source, want)
		source, got, err := parseObjectKey(key)
		if err != nil || source != hostA.Source || got != want {
			t.Errorf("%+v is read as %q %+v, %v", want, source, got, err)
		}
		for n := range len(key) - len(want.Name) {
			if _, _, err := parseObjectKey(key[:max(n, 1)]); err == nil {
				t.Errorf("the first %d bytes of %q are read", n, key)
			}
		}
	}
	old := "d" + hostA.Source + "\x00" + string(make([]byte, 15)) + "\x07"
	if key := appendObjectKey(nil, hostA.Source, schema.ObjectKey{UUID: schema.UUID{15: 7}}); string(key) != old {
		t.Errorf("a domain's key is %q, want %q", key, old)
	}
}

// TestUnknownValue: a kind of value that this version does not know stops the start, and
// says how to go on.
func TestUnknownValue(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	var b journal.Batch
	b.Put([]byte("zebra"), []byte{1})
	if err := j.Append(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := New(j, Options{}); err == nil || err.Error() != `load the journal's values: value of "zebra": it was written by a newer virtcast: install that version again` {
		t.Errorf("New = %v", err)
	}
}

// FuzzSourceState checks that no stored bytes make the bridge panic, and that what is
// read is written again as it was understood.
func FuzzSourceState(f *testing.F) {
	f.Add((&source{sequence: 7, connection: hostA, epoch: "01h4fcqp2a"}).append(nil))
	f.Add([]byte{7})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := source{name: hostA.Source}
		if got.parse(b) != nil {
			return
		}
		if got.epoch == "" { // An earlier version's: newStamper's source has the journal's.
			got.epoch = "01h4fcqp2a"
		}
		again := source{name: hostA.Source}
		if err := again.parse(got.append(nil)); err != nil || again.sequence != got.sequence || again.epoch != got.epoch || !cmp.Equal(again.connection, got.connection) {
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
			var e schema.Event
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				o := &observations[n%len(observations)]
				step := life[n/len(observations)%len(life)]
				o.Event, o.Detail = step[0], step[1]
				s.stamp(o, &e)
				if n%1000 == 999 {
					s.commit()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
