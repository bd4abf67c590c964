package schema

import (
	"fmt"
	"math"
	"testing"
)

func TestEpochSortsAsNumbersDo(t *testing.T) {
	last := ""
	for _, v := range []uint64{0, 1, 9, 10, 31, 32, 1023, 1 << 40, 1<<50 - 1} {
		epoch := FormatEpoch(v)
		if len(epoch) != 10 || epoch <= last {
			t.Errorf("epoch of %d is %q, after %q", v, epoch, last)
		}
		if got, err := ParseEpoch(epoch); err != nil || got != v {
			t.Errorf("ParseEpoch(%q) = %d, %v, want %d", epoch, got, err, v)
		}
		last = epoch
	}
	if got, want := FormatEpoch(1<<50|5), FormatEpoch(5); got != want {
		t.Errorf("epoch of 51 bits is %q, want %q", got, want)
	}
	for _, epoch := range []string{"", "000000000", "00000000000", "000000000w", "000000000A", "+000000001", "000000000_"} {
		if v, err := ParseEpoch(epoch); err == nil {
			t.Errorf("ParseEpoch(%q) = %d", epoch, v)
		}
	}
}

func TestEventID(t *testing.T) {
	tests := []struct {
		sequence uint64
		want     string
	}{
		{0, "01h4fcqp2a-0"},
		{1, "01h4fcqp2a-1"},
		{1042, "01h4fcqp2a-10i"},
		{1<<55 - 1, "01h4fcqp2a-vvvvvvvvvvv"},
		{math.MaxUint64, "01h4fcqp2a-fvvvvvvvvvvvv"},
	}
	for _, test := range tests {
		id := EventID("01h4fcqp2a", test.sequence)
		if id != test.want || (test.sequence < 1<<55 && len(id) > 22) {
			t.Errorf("id of %d is %q, want %q", test.sequence, id, test.want)
		}
		epoch, sequence, err := ParseEventID(id)
		if err != nil || epoch != "01h4fcqp2a" || sequence != test.sequence {
			t.Errorf("ParseEventID(%q) = %q, %d, %v", id, epoch, sequence, err)
		}
	}
	for _, id := range []string{
		"", "-", "01h4fcqp2a", "01h4fcqp2a-", "01h4fcqp2a-01", "01h4fcqp2a-1-1", "01h4fcqp2a-A", "01h4fcqp2a-w",
		"1h4fcqp2a-1", "01h4fcqp2a-gvvvvvvvvvvvv", "01h4fcqp2a-_1", "01h4fcqp2a-1\n",
	} {
		if epoch, sequence, err := ParseEventID(id); err == nil {
			t.Errorf("ParseEventID(%q) = %q, %d", id, epoch, sequence)
		}
	}
}

func FuzzEventID(f *testing.F) {
	f.Add("01h4fcqp2a-10i")
	f.Add("01h4fcqp2a-0")
	f.Fuzz(func(t *testing.T, id string) {
		epoch, sequence, err := ParseEventID(id)
		if err == nil && EventID(epoch, sequence) != id {
			t.Errorf("%q is epoch %q, sequence %d, whose id is %q", id, epoch, sequence, EventID(epoch, sequence))
		}
	})
}

func FuzzUUID(f *testing.F) {
	for _, s := range []string{"6695eb01-f6a4-8304-79aa-97f2502e193f", "6695EB01F6A4830479AA97F2502E193F", "", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUUID(s)
		if err != nil {
			return
		}
		if again, err := ParseUUID(u.String()); err != nil || again != u || len(u.String()) != 36 {
			t.Errorf("%q is %v, which is %v, %v", s, u, again, err)
		}
	})
}

func TestParseUUID(t *testing.T) {
	tests := []struct {
		text string
		ok   bool
	}{
		{"6695eb01-f6a4-8304-79aa-97f2502e193f", true},
		{"6695EB01-F6A4-8304-79AA-97F2502E193F", true},
		{"6695eb01f6a4830479aa97f2502e193f", true},
		{"6695eb01-f6a4-8304-79aa-97f2502e193", false},
		{"6695eb01-f6a48304--79aa-97f2502e193f", false},
		{"6695eb01f6a4830479aa97f2502e193g", false},
		{"", false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%q", test.text), func(t *testing.T) {
			var u UUID
			err := u.UnmarshalText([]byte(test.text))
			if test.ok != (err == nil) || (test.ok && u != testUUID) {
				t.Errorf("%v, %v, want %v", u, err, testUUID)
			}
		})
	}
	if text, err := testUUID.MarshalText(); err != nil || string(text) != tests[0].text {
		t.Errorf("MarshalText = %s, %v", text, err)
	}
	if text, err := testUUID.AppendText(nil); err != nil || string(text) != tests[0].text {
		t.Errorf("AppendText = %s, %v", text, err)
	}
	if testUUID.IsZero() || !(UUID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}
