package schema

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeRoundTrip(t *testing.T) {
	for _, test := range testEvents() {
		t.Run(test.name, func(t *testing.T) {
			got, err := Decode(AppendJSON(nil, &test.event))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.event, got); diff != "" {
				t.Errorf("structured (-want +got):\n%s", diff)
			}
			attributes := attributesOf(&test.event)
			got, err = DecodeBinary(func(name string) string { return attributes[name] }, AppendData(nil, &test.event))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.event, got); diff != "" {
				t.Errorf("binary (-want +got):\n%s", diff)
			}
		})
	}
}

// membersOf returns the members of an event in structured mode, to be changed.
func membersOf(t *testing.T, e Event) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(AppendJSON(nil, &e), &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func decodeMembers(t *testing.T, members map[string]any) (Event, error) {
	t.Helper()
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return Decode(text)
}

func TestDecodeTolerates(t *testing.T) {
	withData := func(changes map[string]any) func(map[string]any) {
		return func(members map[string]any) { maps.Copy(members["data"].(map[string]any), changes) }
	}
	tests := []struct {
		name   string
		change func(members map[string]any)
		want   func(e *Event)
	}{
		{"unknown extension", func(m map[string]any) { m["traceparent"] = "00-ab" }, nil},
		{"unknown member of the data", withData(map[string]any{"new": 1}), nil},
		{"media type with a charset", func(m map[string]any) { m["datacontenttype"] = "Application/JSON; charset=utf-8" }, nil},
		{"no partition key", func(m map[string]any) { delete(m, "partitionkey") }, nil},
		{"null is absent", func(m map[string]any) { m["unobservedsince"] = nil }, nil},
		{"not synthetic", func(m map[string]any) { m["synthetic"] = false }, nil},
		{"time in another zone", func(m map[string]any) { m["time"] = "2026-03-14T17:09:26.535897932+02:00" }, nil},
		{"name from a newer writer", func(m map[string]any) {
			m["type"], m["detail"] = "org.libvirt.domain.lifecycle.rebooted.v1", "by-guest"
			withData(map[string]any{"event": "rebooted", "eventCode": 9, "detailCode": 1})(m)
		}, func(e *Event) { e.Observation.Event, e.Detail = 9, 1 }},
		{"no name from an older writer", func(m map[string]any) {
			m["type"], m["detail"] = "org.libvirt.domain.lifecycle.unknown-2.v1", "unknown-0"
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := lifecycleEvent(2, 0)
			members := membersOf(t, want)
			test.change(members)
			got, err := decodeMembers(t, members)
			if err != nil {
				t.Fatal(err)
			}
			if test.want != nil {
				test.want(&want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	setData := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m["data"].(map[string]any)[name] = value }
	}
	drop := func(name string) func(map[string]any) {
		return func(m map[string]any) { delete(m, name) }
	}
	dropData := func(name string) func(map[string]any) {
		return func(m map[string]any) { delete(m["data"].(map[string]any), name) }
	}
	lifecycle, gap := lifecycleEvent(2, 0), gapEvent()
	tests := []struct {
		name    string
		event   Event
		change  func(members map[string]any)
		message string
	}{
		{"version", lifecycle, set("specversion", "0.3"), `attribute specversion: "0.3", want "1.0"`},
		{"media type", lifecycle, set("datacontenttype", "text/xml"), `attribute datacontenttype`},
		{"no source", lifecycle, drop("source"), `attribute source`},
		{"source with a space", lifecycle, set("source", "a b"), `attribute source`},
		{"no id", lifecycle, drop("id"), `event id ""`},
		{"id as a number", lifecycle, set("id", 1), `attribute id: json`},
		{"other epoch", lifecycle, set("epoch", "0000000000"), `attribute epoch`},
		{"other sequence", lifecycle, set("sequence", "00000000000000001041"), `attribute sequence: 1041 differs`},
		{"short sequence", lifecycle, set("sequence", "1042"), `attribute sequence`},
		{"short domain sequence", lifecycle, set("domainsequence", "17"), `attribute domainsequence`},
		{"no time", lifecycle, drop("time"), `attribute time`},
		{"year before 0", lifecycle, set("time", "0000-01-01T00:00:00+01:00"), `attribute time`},
		{"bad unobservedsince", lifecycle, set("unobservedsince", "yesterday"), `attribute unobservedsince`},
		{"bad synthetic", lifecycle, set("synthetic", "maybe"), `attribute synthetic`},
		{"no subject", lifecycle, drop("subject"), `attribute subject`},
		{"other subject", lifecycle, set("subject", "0"), `attribute subject`},
		{"other partition key", lifecycle, set("partitionkey", "0"), `attribute partitionkey`},
		{"other connection", lifecycle, set("connection", "kvm02"), `attribute connection`},
		{"other type", lifecycle, set("type", "org.libvirt.domain.lifecycle.stopped.v1"), `attribute type`},
		{"other unknown type", lifecycle, set("type", "org.libvirt.domain.lifecycle.unknown-3.v1"), `attribute type`},
		{"other detail", lifecycle, set("detail", "restored"), `attribute detail`},
		{"no detail", lifecycle, drop("detail"), `attribute detail`},
		{"no data", lifecycle, drop("data"), `data: missing`},
		{"data as text", lifecycle, set("data", "x"), `data: json`},
		{"no connection in the data", lifecycle, dropData("connection"), `data: no connection`},
		{"no domain in the data", lifecycle, dropData("domain"), `data: no domain`},
		{"bad uuid", lifecycle, setData("domain", map[string]any{"uuid": "x"}), `data: uuid "x"`},
		{"no code", lifecycle, dropData("eventCode"), `data: no eventCode`},
		{"code too large", lifecycle, setData("detailCode", 1<<31), `data: json`},
		{"gap without reason", gap, dropData("reason"), `data: no reason`},
		{"gap without since", gap, dropData("since"), `data: since`},
		{"gap since another time", gap, setData("since", "2026-03-14T15:00:00Z"), `data: since`},
		{"gap without until", gap, dropData("until"), `data: until`},
		{"negative loss", gap, setData("lost", -1), `data: json`},
		{"gap with a subject", gap, set("subject", "x"), `attribute subject`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			members := membersOf(t, test.event)
			test.change(members)
			if got, err := decodeMembers(t, members); err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("decodes to %+v, error %v, want one with %q", got, err, test.message)
			}
		})
	}
	for _, text := range []string{"", "[]", "{", `{"id":"1"} x`} {
		if got, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q decodes to %+v", text, got)
		}
	}
}

func TestDecodeUnknownType(t *testing.T) {
	for _, typ := range []string{
		"com.example.thing.v1", "org.libvirt.domain.lifecycle.started.v2", "org.libvirt.domain.lifecycle.v1",
		"org.libvirt.domain.newer.v1", "org.virtcast.connection.gap.x.v1", "org.libvirt.domain.unknown--1.v1",
		"org.libvirt.domain.unknown-99.x.v1", ".v1", "org.libvirt.connection.gap.v1",
	} {
		members := membersOf(t, lifecycleEvent(2, 0))
		members["type"] = typ
		if got, err := decodeMembers(t, members); !errors.Is(err, ErrUnknownType) {
			t.Errorf("type %q decodes to %+v, error %v, want ErrUnknownType", typ, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, test := range testEvents() {
		f.Add(AppendJSON(nil, &test.event))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		event, err := Decode(text)
		if err != nil {
			return
		}
		again, err := Decode(AppendJSON(nil, &event))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(event, again); diff != "" {
			t.Fatalf("event (-first +second):\n%s", diff)
		}
	})
}
