package domains

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/bridge/value"
	"github.com/virtcast/virtcast/schema"
)

func TestEntryRoundTrip(t *testing.T) {
	for _, want := range []entry{
		{count: 1, knowledge: nothing},
		{
			count: 1 << 60, event: -1, detail: 1 << 30, id: -1, at: -1, name: "web-1\x00\xff", last: 1 << 62, synthetic: true, since: -7,
			knowledge: knowledge{code: 1 << 30, reason: -1 << 31, persistence: schema.NotPersistent, presence: superseded}, published: true,
		},
	} {
		got, err := parseEntry(want.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{}, knowledge{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// TestEntryV2 holds that what the second version wrote is read.
func TestEntryV2(t *testing.T) {
	v2 := []byte{entryV2, 9}
	for _, v := range []int64{2, 0, 7, 12345} { // started, booted, id, at
		v2 = binary.AppendVarint(v2, v)
	}
	v2 = binary.AppendUvarint(v2, 77)                                                   // last
	for _, v := range []int64{54321, int64(schema.StatePaused), int64(pausedIOError)} { // since
		v2 = binary.AppendVarint(v2, v)
	}
	v2 = append(v2, byte(active)|byte(schema.Persistent)<<persistenceShift|flagSynthetic|flagPublished)
	got, err := parseEntry(append(v2, "web-1"...))
	if err != nil {
		t.Fatal(err)
	}
	want := entry{
		count: 9, event: 2, id: 7, at: 12345, name: "web-1", last: 77, since: 54321, synthetic: true, published: true,
		knowledge: knowledge{code: schema.StatePaused, reason: pausedIOError, presence: active, persistence: schema.Persistent},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{}, knowledge{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestNewerEntry holds that an unknown section is passed over if it may be, and refused
// else.
func TestNewerEntry(t *testing.T) {
	e := entry{count: 3, last: 4, name: "web-1", knowledge: nothing}
	if got, err := parseEntry(value.Bytes(e.append(nil), 100, []byte("later"))); err != nil || got != e {
		t.Errorf("with an even section: %+v, %v", got, err)
	}
	if _, err := parseEntry(value.Bytes(e.append(nil), 101, []byte("later"))); !errors.Is(err, value.ErrNewer) {
		t.Errorf("with an odd section: %v, want ErrNewer", err)
	}
	if _, err := parseEntry([]byte{entryV3 + 1, 1}); !errors.Is(err, value.ErrNewer) {
		t.Errorf("a later version: %v, want ErrNewer", err)
	}
}

// TestEntryV1 holds that what the first version wrote is read, as far as its last event
// tells.
func TestEntryV1(t *testing.T) {
	v1 := []byte{entryV1, 9}
	for _, v := range []int64{2, 0, 7, 12345} { // started, booted, id, at
		v1 = binary.AppendVarint(v1, v)
	}
	got, err := parseEntry(append(v1, "web-1"...))
	if err != nil {
		t.Fatal(err)
	}
	want := entry{
		count: 9, event: 2, id: 7, at: 12345, name: "web-1",
		knowledge: knowledge{code: schema.StateRunning, reason: runningBooted, presence: active},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{}, knowledge{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for n := range v1 {
		if _, err := parseEntry(v1[:n]); err == nil {
			t.Errorf("the first %d bytes are read", n)
		}
	}
}

// FuzzEntry checks that no stored bytes make the bridge panic, and that
// what is read is written again as it was understood.
func FuzzEntry(f *testing.F) {
	e := entry{count: 7, event: 2, detail: 1, id: -1, at: 1, name: "web-1"}
	f.Add(e.append(nil))
	f.Add([]byte{entryV3})
	f.Add([]byte{entryV1, 1, 4, 0, 14, 2, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseEntry(b)
		if err != nil {
			return
		}
		again, err := parseEntry(got.append(nil))
		if err != nil || again != got {
			t.Errorf("%+v is written as %+v, %v", got, again, err)
		}
	})
}
