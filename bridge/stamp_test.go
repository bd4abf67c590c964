package bridge

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDomainStateRoundTrip(t *testing.T) {
	for _, want := range []domainState{
		{sequence: 1},
		{sequence: 1 << 60, event: -1, detail: 1 << 30, id: -1, at: -1, name: "web-1\x00\xff"},
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

// FuzzDomainState checks that no stored bytes make the bridge panic, and that
// what is read is written again as it was understood.
func FuzzDomainState(f *testing.F) {
	state := domainState{sequence: 7, event: 2, detail: 1, id: -1, at: 1, name: "web-1"}
	f.Add(state.append(nil))
	f.Add([]byte{domainStateV2})
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
