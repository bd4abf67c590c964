package schema

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func attributesOf(e *Event) map[string]string {
	attributes := make(map[string]string)
	VisitAttributes(e, nil, func(name string, value []byte) { attributes[name] = string(value) })
	return attributes
}

func TestVisitAttributes(t *testing.T) {
	started := lifecycleEvent(2, 0)
	lost := gapEvent()
	lost.Synthetic = true
	tests := []struct {
		name  string
		event Event
		want  map[string]string
	}{
		{"lifecycle", started, map[string]string{
			"specversion":     "1.0",
			"datacontenttype": "application/json",
			"id":              "01h4fcqp2a-10i",
			"source":          "qemu://kvm01.example.com/system",
			"type":            "org.libvirt.domain.lifecycle.started.v1",
			"subject":         "6695eb01-f6a4-8304-79aa-97f2502e193f",
			"time":            "2026-03-14T15:09:26.535897932Z",
			"dataschema":      "https://virtcast.github.io/schema/domain.lifecycle.v1.json",
			"partitionkey":    "6695eb01-f6a4-8304-79aa-97f2502e193f",
			"sequence":        "00000000000000001042",
			"epoch":           "01h4fcqp2a",
			"domainsequence":  "00000000000000000017",
			"connection":      "kvm01",
			"detail":          "booted",
		}},
		{"gap", lost, map[string]string{
			"specversion":     "1.0",
			"datacontenttype": "application/json",
			"id":              "01h4fcqp2a-10j",
			"source":          "qemu://kvm01.example.com/system",
			"type":            "org.virtcast.connection.gap.v1",
			"time":            "2026-03-14T15:10:00.000000000Z",
			"dataschema":      "https://virtcast.github.io/schema/connection.gap.v1.json",
			"partitionkey":    "kvm01",
			"sequence":        "00000000000000001043",
			"epoch":           "01h4fcqp2a",
			"connection":      "kvm01",
			"synthetic":       "true",
			"unobservedsince": "2026-03-14T15:09:30.120000000Z",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, attributesOf(&test.event)); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttributeRules holds what CloudEvents and the bindings ask of names and values,
// even where the input is hostile.
func TestAttributeRules(t *testing.T) {
	hostile := lifecycleEvent(2, 0)
	hostile.Connection = &Connection{Name: "a \"b\"%\\\n\u00e9", Source: "qemu://h/\x00\x7f x"}
	hostile.Epoch = "\"\r\n"
	name, value := regexp.MustCompile(`^[a-z0-9]{1,20}$`), regexp.MustCompile(`^[\x21\x23\x24\x26-\x5b\x5d-\x7e]+$`)
	for _, test := range append(testEvents(), testEvent{"hostile", hostile}) {
		VisitAttributes(&test.event, nil, func(n string, v []byte) {
			if !name.MatchString(n) || !value.Match(v) {
				t.Errorf("%s: attribute %q has value %q", test.name, n, v)
			}
		})
		if !json.Valid(AppendJSON(nil, &test.event)) {
			t.Errorf("%s: not JSON", test.name)
		}
	}
}

func TestAccessorsAgreeWithAttributes(t *testing.T) {
	for _, test := range testEvents() {
		want := attributesOf(&test.event)
		got := map[string]string{
			"id": test.event.ID(), "source": test.event.Source(), "type": test.event.Type(),
			"subject": test.event.Subject(), "partitionkey": test.event.PartitionKey(),
		}
		for name, value := range got {
			if value != want[name] {
				t.Errorf("%s: %s is %q, want %q", test.name, name, value, want[name])
			}
		}
	}
}

func TestTypes(t *testing.T) {
	tests := []struct {
		kind  Kind
		event int32
		want  string
	}{
		{KindLifecycle, 0, "org.libvirt.domain.lifecycle.defined.v1"},
		{KindLifecycle, 42, "org.libvirt.domain.lifecycle.unknown-42.v1"},
		{KindLifecycle, -1, "org.libvirt.domain.lifecycle.unknown--1.v1"},
		{KindGap, 0, "org.virtcast.connection.gap.v1"},
		{KindOf(FamilyDomain, 99), 0, "org.libvirt.domain.unknown-99.v1"},
		{KindOf(FamilyNetwork, 0), 0, "org.libvirt.network.unknown-0.v1"},
		{KindOf(FamilyStoragePool, 7), 0, "org.libvirt.storage-pool.unknown-7.v1"},
		{KindOf(FamilyConnection, 9), 0, "org.virtcast.connection.unknown-9.v1"},
		{KindOf(77, 1), 0, "org.libvirt.unknown-77.unknown-1.v1"},
	}
	for _, test := range tests {
		e := lifecycleEvent(test.event, 0)
		e.Kind = test.kind
		if got := e.Type(); got != test.want {
			t.Errorf("type of kind %v, event %d is %q, want %q", test.kind, test.event, got, test.want)
		}
		if test.kind.Family() > FamilyConnection {
			continue
		}
		if kind, _, err := parseType(test.want); err != nil || kind != test.kind {
			t.Errorf("parseType(%q) = %v, %v, want %v", test.want, kind, err, test.kind)
		}
	}
}

func TestSubjectTokens(t *testing.T) {
	want := map[string][3]string{
		"lifecycle-started":        {"lifecycle", "started", "booted"},
		"lifecycle-unknown-event":  {"lifecycle", "unknown-42", "unknown-3"},
		"lifecycle-unknown-detail": {"lifecycle", "started", "unknown--9"},
		"gap-overrun":              {"gap", "_", "_"},
		"unknown-kind":             {"unknown-99", "_", "_"},
	}
	for _, test := range testEvents() {
		kind, event, detail := SubjectTokens(&test.event)
		if w, ok := want[test.name]; ok && w != [3]string{kind, event, detail} {
			t.Errorf("%s: %s %s %s, want %v", test.name, kind, event, detail, w)
		}
	}
}

func TestAppendData(t *testing.T) {
	unknown := lifecycleEvent(42, 3)
	noNames := lifecycleEvent(2, 0)
	noNames.Kind = KindOf(FamilyDomain, 99)
	noConnection := lifecycleEvent(6, 1)
	noConnection.Connection = nil
	overrun := gapEvent()
	overrun.Gap = &Gap{Reason: GapOverrun, Lost: 512, Until: overrun.Gap.Until}
	const connection = `{"connection":{"name":"kvm01","uri":"qemu:///system","hostname":"kvm01.example.com"}`
	const domain = `,"domain":{"uuid":"6695eb01-f6a4-8304-79aa-97f2502e193f","name":"web-1","id":7}`
	const span = `"since":"2026-03-14T15:09:30.120000000Z","until":"2026-03-14T15:10:00.000000000Z"}`
	tests := []struct {
		name  string
		event Event
		want  string
	}{
		{"lifecycle", lifecycleEvent(2, 0), connection + domain + `,"event":"started","eventCode":2,"detail":"booted","detailCode":0}`},
		{"unknown numbers", unknown, connection + domain + `,"event":"unknown","eventCode":42,"detail":"unknown","detailCode":3}`},
		{"unknown kind", noNames, connection + domain + `}`},
		{"no connection", noConnection, `{"connection":{"name":"","uri":"","hostname":""}` + domain +
			`,"event":"shutdown","eventCode":6,"detail":"guest","detailCode":1}`},
		{"gap", gapEvent(), connection + `,"reason":"disconnected",` + span},
		{"gap with a loss", overrun, connection + `,"reason":"overrun","lost":512,` + span},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, string(AppendData(nil, &test.event))); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzString holds appendString to what encoding/json writes, byte for byte.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "web-1", "\x00\x1f\x7f\"\\/<>&", "caf\u00e9\u2028\u2029\ufffd", "\xff\xc3", "\b\f\n\r\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := string(appendString(nil, s)); got != strings.TrimSuffix(want.String(), "\n") {
			t.Errorf("%q becomes %s, want %s", s, got, &want)
		}
	})
}

func TestAppendTime(t *testing.T) {
	zone := time.FixedZone("", -5*3600)
	tests := []struct {
		time time.Time
		want string
	}{
		{time.Time{}, "0001-01-01T00:00:00.000000000Z"},
		{time.Date(2026, 12, 31, 23, 59, 59, 1, zone), "2027-01-01T04:59:59.000000001Z"},
		{time.Date(2024, 2, 29, 1, 2, 3, 123_456_789, time.UTC), "2024-02-29T01:02:03.123456789Z"},
		{time.Date(-1, 6, 1, 0, 0, 0, 0, time.UTC), "0000-01-01T00:00:00.000000000Z"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "9999-12-31T23:59:59.999999999Z"},
	}
	for _, test := range tests {
		if got := string(appendTime(nil, test.time)); got != test.want {
			t.Errorf("%v becomes %s, want %s", test.time, got, test.want)
		}
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	dst, scratch := make([]byte, 0, 4096), make([]byte, 0, 256)
	visited := 0
	visit := func(string, []byte) { visited++ }
	for _, test := range testEvents() {
		runs := map[string]func(){
			"AppendJSON":      func() { e := test.event; AppendJSON(dst, &e) },
			"AppendData":      func() { e := test.event; AppendData(dst, &e) },
			"AppendRecord":    func() { e := test.event; AppendRecord(dst, &e, nil) },
			"VisitAttributes": func() { e := test.event; VisitAttributes(&e, scratch, visit) },
		}
		for name, run := range runs {
			if n := testing.AllocsPerRun(50, run); n != 0 {
				t.Errorf("%s of %s: %v allocations, want 0", name, test.name, n)
			}
		}
	}
	e := lifecycleEvent(2, 0)
	if n := testing.AllocsPerRun(50, func() { _ = e.Type() }); n != 0 {
		t.Errorf("Type: %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(50, func() { SubjectTokens(&e) }); n != 0 {
		t.Errorf("SubjectTokens: %v allocations, want 0", n)
	}
	if visited == 0 {
		t.Error("VisitAttributes visited nothing")
	}
}

func TestCounterSortsAsNumbersDo(t *testing.T) {
	numbers := []uint64{0, 1, 9, 10, 99, 1 << 32, math.MaxInt64, math.MaxUint64}
	last := ""
	for _, n := range numbers {
		s := string(appendCounter(nil, n))
		if s <= last {
			t.Errorf("%d is %q, not after %q", n, s, last)
		}
		if got, err := parseCounter(s); err != nil || got != n {
			t.Errorf("parseCounter(%q) = %d, %v, want %d", s, got, err, n)
		}
		last = s
	}
	for _, s := range []string{"", "1", "0000000000000000000x", "+0000000000000000001", "99999999999999999999"} {
		if _, err := parseCounter(s); err == nil {
			t.Errorf("parseCounter(%q) succeeds", s)
		}
	}
}
