package schema

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// BenchmarkEncode compares the hand-written encoding with what it replaces, in the same
// run: sdk-marshal/x is how many times longer the SDK takes to marshal an event that it
// has, sdk-build+marshal/x the same with making it, and json/x how many times longer
// encoding/json takes for the data alone.
func BenchmarkEncode(b *testing.B) {
	e := lifecycleEvent(2, 0)
	ce, err := e.CloudEvent()
	if err != nil {
		b.Fatal(err)
	}
	data := dataOf(&e)
	dst := make([]byte, 0, 4096)
	structured := func() error { dst = AppendJSON(dst[:0], &e); return nil }
	dataOnly := func() error { dst = AppendData(dst[:0], &e); return nil }

	b.Run("structured", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendJSON(dst[:0], &e)
		}
		b.ReportMetric(timesLonger(b, func() error { _, err := json.Marshal(ce); return err }, structured), "sdk-marshal/x")
		b.ReportMetric(timesLonger(b, func() error { return encodeWithSDK(&e, data) }, structured), "sdk-build+marshal/x")
	})
	b.Run("data", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendData(dst[:0], &e)
		}
		b.ReportMetric(timesLonger(b, func() error { _, err := json.Marshal(data); return err }, dataOnly), "json/x")
	})
	b.Run("attributes", func(b *testing.B) {
		b.ReportAllocs()
		total := 0
		visit := func(name string, value []byte) { total += len(name) + len(value) }
		for b.Loop() {
			dst = VisitAttributes(&e, dst, visit)
		}
		if total == 0 {
			b.Fatal("no attributes")
		}
	})
}

type benchData struct {
	Connection struct {
		Name     string `json:"name"`
		URI      string `json:"uri"`
		Hostname string `json:"hostname"`
	} `json:"connection"`
	Domain struct {
		UUID UUID   `json:"uuid"`
		Name string `json:"name"`
		ID   int32  `json:"id"`
	} `json:"domain"`
	Event      string `json:"event"`
	EventCode  int32  `json:"eventCode"`
	Detail     string `json:"detail"`
	DetailCode int32  `json:"detailCode"`
}

func dataOf(e *Event) *benchData {
	var d benchData
	d.Connection.Name, d.Connection.URI, d.Connection.Hostname = e.Connection.Name, e.Connection.URI, e.Connection.Hostname
	d.Domain.UUID, d.Domain.Name, d.Domain.ID = e.Object.UUID, e.Object.Name, e.Object.ID
	d.Event, d.EventCode = EventName(e.Kind, e.Observation.Event), e.Observation.Event
	d.Detail, d.DetailCode = DetailName(e.Kind, e.Observation.Event, e.Detail), e.Detail
	return &d
}

// encodeWithSDK builds and marshals an event as the SDK's documentation shows.
func encodeWithSDK(e *Event, data *benchData) error {
	ce := event.New()
	ce.SetID(e.ID())
	ce.SetSource(e.Connection.Source)
	ce.SetType(e.Type())
	ce.SetSubject(e.Subject())
	ce.SetTime(e.Received)
	ce.SetDataSchema(SchemaLifecycle)
	for a := attrPartitionKey; a < attributeCount; a++ {
		if value := e.value(a); value != "" {
			ce.SetExtension(attributeNames[a], value)
		}
	}
	if err := ce.SetData(ContentTypeData, data); err != nil {
		return err
	}
	_, err := json.Marshal(ce)
	return err
}

// timesLonger returns how many times longer slow takes than fast. It runs both by turns
// and compares their best rounds, so that a busy machine disturbs the ratio little.
func timesLonger(b *testing.B, slow, fast func() error) float64 {
	b.Helper()
	best := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	for range 200 {
		for i, run := range [2]func() error{slow, fast} {
			start := time.Now()
			for range 50 {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
			best[i] = min(best[i], time.Since(start))
		}
	}
	return float64(best[0]) / float64(best[1])
}

func BenchmarkRecord(b *testing.B) {
	e := lifecycleEvent(2, 0)
	sinks := []string{"bus", "screen"}
	record := AppendRecord(nil, &e, sinks)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 4096)
		for b.Loop() {
			dst = AppendRecord(dst[:0], &e, sinks)
		}
		b.ReportMetric(float64(len(dst)), "record-bytes")
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		in := NewInterner(0)
		for b.Loop() {
			if _, _, err := ParseRecord(record, in); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, sink := range map[string]string{"read": "screen", "read-past": "another"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			in := NewInterner(0)
			for b.Loop() {
				if _, goes, err := ReadRecord(record, sink, in); goes != (name == "read") || err != nil {
					b.Fatal(goes, err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	e := lifecycleEvent(2, 0)
	text := AppendJSON(nil, &e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}
