package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

func TestRoundTrips(t *testing.T) {
	domain := schema.Object{Name: "web-01", UUID: testUUID, ID: -1}
	params := []TypedParam{
		{Field: FieldState, Type: ParamInt, Int: -5},
		{Field: "u", Type: ParamUint, Uint: 1<<32 - 1},
		{Field: "l", Type: ParamLlong, Int: -1 << 62},
		{Field: "ul", Type: ParamUllong, Uint: 1<<64 - 1},
		{Field: "d", Type: ParamDouble, Double: -0.25},
		{Field: "b", Type: ParamBoolean, Int: 1},
		{Field: "s", Type: ParamString, String: "x"},
	}
	tests := []struct {
		name   string
		want   any
		encode func(*Encoder)
		decode func(*Decoder) any
	}{
		{"domain", domain, func(e *Encoder) { e.Domain(domain) }, func(d *Decoder) any { return d.Domain() }},
		{"hyper", int64(-7), func(e *Encoder) { e.Int64(-7) }, func(d *Decoder) any { return d.Int64() }},
		{"typed params", params, func(e *Encoder) { e.TypedParams(params) }, func(d *Decoder) any { return d.TypedParams(MaxTypedParams) }},
		{"chars", []byte{0, 1, 0x7f, 0x80, 0xff}, func(e *Encoder) { e.Chars([]byte{0, 1, 0x7f, 0x80, 0xff}) }, func(d *Decoder) any { return d.Chars(10) }},
		{
			"lifecycle",
			LifecycleMessage{7, domain, 5, 99},
			func(e *Encoder) { e.LifecycleMessage(LifecycleMessage{7, domain, 5, 99}) },
			func(d *Decoder) any { return d.LifecycleMessage() },
		},
		{
			"bare error", &RemoteError{Code: 39, Domain: 7, Message: "unknown procedure: 9999", Level: 2},
			func(e *Encoder) {
				e.RemoteError(&RemoteError{Code: 39, Domain: 7, Message: "unknown procedure: 9999", Level: 2})
			},
			func(d *Decoder) any { e := d.RemoteError(); d.Bool(); return e },
		},
		{
			"full error", &RemoteError{1, 2, "m", 3, &domain, "a", "b", "c", -1, 4, 0},
			func(e *Encoder) { e.RemoteError(&RemoteError{1, 2, "m", 3, &domain, "a", "b", "c", -1, 4, 0}) },
			func(d *Decoder) any { e := d.RemoteError(); d.Bool(); return e },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e Encoder
			tt.encode(&e)
			payload := e.Payload()
			if len(payload)%4 != 0 {
				t.Errorf("payload of %d bytes is not padded", len(payload))
			}
			d := NewDecoder(payload)
			if diff := cmp.Diff(tt.want, tt.decode(&d)); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
			if d.Err() != nil || d.Rest() != 0 {
				t.Errorf("err = %v, %d bytes left", d.Err(), d.Rest())
			}
			for n := range payload {
				d := NewDecoder(payload[:n])
				tt.decode(&d)
				if !errors.Is(d.Err(), ErrXDR) {
					t.Errorf("cut at byte %d of %d: err = %v, want ErrXDR", n, len(payload), d.Err())
				}
			}
		})
	}
}

// TestRecordedError decodes the answer of libvirtd 9.0.0 to a second registration.
func TestRecordedError(t *testing.T) {
	var e Encoder
	e.Int32(CodeInvalidArg)
	e.Int32(0)
	e.OptionalString("invalid argument: event callback already tracked")
	e.Int32(2)
	e.Null()
	e.OptionalString("invalid argument: %s")
	e.OptionalString("event callback already tracked")
	e.Null()
	e.Int32(-1)
	e.Int32(-1)
	e.Null()
	d := NewDecoder(e.Payload())
	got := d.RemoteError()
	want := &RemoteError{
		Code: CodeInvalidArg, Message: "invalid argument: event callback already tracked", Level: 2,
		Str1: "invalid argument: %s", Str2: "event callback already tracked", Int1: -1, Int2: -1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := got.Error(), "invalid argument: event callback already tracked (code 8)"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name    string
		payload []byte
		decode  func(*Decoder)
	}{
		{"string over its limit", []byte{0, 0x40, 0, 1}, func(d *Decoder) { d.Bytes() }},
		{"string over the payload", []byte{0, 0, 0, 5, 1, 2, 3, 4}, func(d *Decoder) { d.Bytes() }},
		{"string of 4 GiB", []byte{255, 255, 255, 255}, func(d *Decoder) { d.Bytes() }},
		{"array over its limit", make([]byte, 64), func(d *Decoder) { d.buf[3] = 9; d.Count(8, 4) }},
		{"array over the payload", []byte{0, 0, 0, 3, 0, 0, 0, 0}, func(d *Decoder) { d.Count(8, 4) }},
		{"boolean of 2", []byte{0, 0, 0, 2}, func(d *Decoder) { d.Bool() }},
		{"parameter of unknown type", []byte{0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0}, func(d *Decoder) { d.TypedParam() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(tt.payload)
			tt.decode(&d)
			if !errors.Is(d.Err(), ErrXDR) {
				t.Errorf("err = %v, want ErrXDR", d.Err())
			}
			if d.Uint32() != 0 || d.Rest() != 0 {
				t.Error("reads after a fault return something")
			}
		})
	}
}

func TestDomainEventProcedure(t *testing.T) {
	tests := []struct {
		id, want int32
		ok       bool
	}{
		{-1, 0, false},
		{0, 318, true},
		{16, 339, true},
		{26, 438, true},
		{27, 453, true},
		{28, 0, false},
	}
	seen := map[int32]int32{}
	for id := range MaxEventID + 1 {
		procedure, _ := DomainEventProcedure(id)
		if other, twice := seen[procedure]; twice {
			t.Errorf("ids %d and %d have the procedure %d", other, id, procedure)
		}
		seen[procedure] = id
	}
	for _, tt := range tests {
		if got, ok := DomainEventProcedure(tt.id); got != tt.want || ok != tt.ok {
			t.Errorf("DomainEventProcedure(%d) = %d, %t, want %d, %t", tt.id, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzXDR decodes anything as each structure in turn, and holds that what decodes encodes
// to something that decodes to the same.
func FuzzXDR(f *testing.F) {
	var e Encoder
	e.TypedParams([]TypedParam{{Field: "a", Type: ParamDouble, Double: 1}})
	e.RemoteError(&RemoteError{Code: 1, Message: "m", Object: &schema.Object{}})
	e.LifecycleMessage(LifecycleMessage{CallbackID: 1})
	e.Chars([]byte("scram"))
	f.Add(e.Payload())
	f.Add([]byte{})
	encode := func(d *Decoder) []byte {
		params := d.TypedParams(MaxTypedParams)
		remote := d.RemoteError()
		d.Bool()
		message := d.LifecycleMessage()
		chars := d.Chars(MaxSASLData)
		var e Encoder
		e.TypedParams(params)
		e.RemoteError(remote)
		e.LifecycleMessage(message)
		e.Chars(chars)
		return e.Payload()
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		d := NewDecoder(payload)
		first := encode(&d)
		if d.Err() != nil {
			return
		}
		again := NewDecoder(first)
		second := encode(&again)
		if again.Err() != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x encodes to %x, then %x (%v)", payload, first, second, again.Err())
		}
	})
}
