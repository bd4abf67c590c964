package schema_test

import (
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// A message in structured mode, as it comes from NATS or Kafka.
const message = `{"specversion":"1.0","datacontenttype":"application/json","id":"01h4fcqp2a-10i",` +
	`"source":"qemu://kvm01.example.com/system","type":"org.libvirt.domain.lifecycle.started.v1",` +
	`"subject":"6695eb01-f6a4-8304-79aa-97f2502e193f","time":"2026-03-14T15:09:26.535897932Z",` +
	`"dataschema":"https://virtcast.github.io/schema/domain.lifecycle.v1.json",` +
	`"partitionkey":"6695eb01-f6a4-8304-79aa-97f2502e193f","sequence":"00000000000000001042",` +
	`"epoch":"01h4fcqp2a","domainsequence":"00000000000000000017","connection":"kvm01","detail":"booted",` +
	`"data":{"connection":{"name":"kvm01","uri":"qemu:///system","hostname":"kvm01.example.com"},` +
	`"domain":{"uuid":"6695eb01-f6a4-8304-79aa-97f2502e193f","name":"web-1","id":7},` +
	`"event":"started","eventCode":2,"detail":"booted","detailCode":0}}`

func ExampleDecode() {
	event, err := schema.Decode([]byte(message))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Received.Format(time.RFC3339), event.Connection.Name, event.Object.Name)
	fmt.Println(schema.EventName(event.Kind, event.Observation.Event), schema.DetailName(event.Kind, event.Observation.Event, event.Detail))
	fmt.Println("event", event.Sequence, "of its source,", event.DomainSequence, "of its domain")
	// Output:
	// 2026-03-14T15:09:26Z kvm01 web-1
	// started booted
	// event 1042 of its source, 17 of its domain
}

func ExampleEvent_CloudEvent() {
	event, err := schema.Decode([]byte(message))
	if err != nil {
		log.Fatal(err)
	}
	ce, err := event.CloudEvent()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ce.Type(), ce.Subject())
	fmt.Println(string(ce.Data()))
	// Output:
	// org.libvirt.domain.lifecycle.started.v1 6695eb01-f6a4-8304-79aa-97f2502e193f
	// {"connection":{"name":"kvm01","uri":"qemu:///system","hostname":"kvm01.example.com"},"domain":{"uuid":"6695eb01-f6a4-8304-79aa-97f2502e193f","name":"web-1","id":7},"event":"started","eventCode":2,"detail":"booted","detailCode":0}
}

func ExampleVisitAttributes() {
	event, err := schema.Decode([]byte(message))
	if err != nil {
		log.Fatal(err)
	}
	schema.VisitAttributes(&event, nil, func(name string, value []byte) {
		if name == "id" || name == "sequence" || name == "detail" {
			fmt.Printf("ce-%s: %s\n", name, value)
		}
	})
	// Output:
	// ce-id: 01h4fcqp2a-10i
	// ce-sequence: 00000000000000001042
	// ce-detail: booted
}

func ExampleEventName() {
	fmt.Println(schema.EventName(schema.KindLifecycle, 2), schema.DetailName(schema.KindLifecycle, 2, 3))
	fmt.Println(schema.EventName(schema.KindLifecycle, 42))
	// Output:
	// started from-snapshot
	// unknown
}

// A consumer of binary mode: the attributes are in headers, as in Kafka's ce_id and
// ce_type.
func ExampleDecodeBinary() {
	headers := map[string]string{
		"ce_specversion": "1.0", "ce_id": "01h4fcqp2a-10i", "ce_source": "qemu://kvm01.example.com/system",
		"ce_type": "org.libvirt.domain.lifecycle.stopped.v1", "ce_subject": "6695eb01-f6a4-8304-79aa-97f2502e193f",
		"ce_time": "2026-03-14T15:09:26Z", "ce_sequence": "00000000000000001042", "ce_epoch": "01h4fcqp2a",
		"ce_domainsequence": "00000000000000000017", "ce_connection": "kvm01", "ce_detail": "crashed", "content-type": "application/json",
	}
	value := []byte(`{"connection":{"name":"kvm01","uri":"qemu:///system","hostname":"kvm01.example.com"},` +
		`"domain":{"uuid":"6695eb01-f6a4-8304-79aa-97f2502e193f","name":"web-1","id":-1},` +
		`"event":"stopped","eventCode":5,"detail":"crashed","detailCode":2}`)
	event, err := schema.DecodeBinary(func(name string) string {
		if name == "datacontenttype" {
			return headers["content-type"]
		}
		return headers["ce_"+name]
	}, value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Object.Name, schema.EventName(event.Kind, event.Observation.Event), event.Sequence)
	// Output: web-1 stopped 1042
}

// An event as it is published in structured mode. A bridge stamps events; here it is done
// by hand.
func ExampleAppendJSON() {
	event := schema.Event{
		Observation: schema.Observation{
			Connection: &schema.Connection{
				Name: "kvm01", URI: "qemu:///system", Hostname: "kvm01.example.com", Source: "qemu://kvm01.example.com/system",
			},
			Kind: schema.KindLifecycle, Event: 2, Detail: 0, // started, booted
			Object:   schema.Object{UUID: schema.UUID{15: 1}, Name: "web-1", ID: 7},
			Received: time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC),
		},
		Epoch: schema.FormatEpoch(1), Sequence: 1042, DomainSequence: 17,
	}
	var ce struct{ ID, Type, Subject string }
	if err := json.Unmarshal(schema.AppendJSON(nil, &event), &ce); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ce.ID)
	fmt.Println(ce.Type)
	fmt.Println(ce.Subject)
	// Output:
	// 0000000001-10i
	// org.libvirt.domain.lifecycle.started.v1
	// 00000000-0000-0000-0000-000000000001
}

// A consumer that checks that nothing is missing: sequences of one source have no hole
// within an epoch. Their numbers, and not the ids, tell the order.
func ExampleParseEventID() {
	epoch, sequence, err := schema.ParseEventID("01h4fcqp2a-10i")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(epoch, sequence)
	fmt.Println("next:", schema.EventID(epoch, sequence+1))
	// Output:
	// 01h4fcqp2a 1042
	// next: 01h4fcqp2a-10j
}

// The parts of a NATS subject. Numbers without a name stand for themselves.
func ExampleSubjectTokens() {
	for _, event := range []schema.Event{
		{Observation: schema.Observation{Kind: schema.KindLifecycle, Event: 5, Detail: 2}},
		{Observation: schema.Observation{Kind: schema.KindLifecycle, Event: 42, Detail: 7}},
	} {
		fmt.Println(schema.SubjectTokens(&event))
	}
	// Output:
	// lifecycle stopped crashed
	// lifecycle unknown-42 unknown-7
}

// Kinds have names, which stand in configurations. Those of a newer hypervisor have none,
// and can still be asked for by their number.
func ExampleParseKind() {
	kind, known := schema.ParseKind("lifecycle")
	fmt.Println(kind, known)
	newer := schema.KindOf(schema.FamilyDomain, 99)
	_, known = schema.ParseKind(newer.String())
	fmt.Println(newer, known)
	// Output:
	// lifecycle true
	// unknown-99 false
}

// The state of each domain, kept by a consumer. The key of an object stays the same when
// the object is renamed.
func ExampleObject_Key() {
	states := map[schema.ObjectKey]string{}
	before := schema.Object{UUID: schema.UUID{15: 1}, Name: "web-1", ID: 7}
	states[before.Key()] = schema.StateName(1)

	renamed := schema.Object{UUID: schema.UUID{15: 1}, Name: "web-1-old", ID: -1}
	fmt.Println(states[renamed.Key()])
	states[renamed.Key()] = schema.StateName(5)
	fmt.Println(len(states), states[before.Key()])
	// Output:
	// running
	// 1 shutoff
}

// Where a consumer reads both content modes, the content type tells which one a message
// has.
func ExampleIsStructured() {
	fmt.Println(schema.IsStructured("application/cloudevents+json; charset=UTF-8"))
	fmt.Println(schema.IsStructured("application/json"))
	// Output:
	// true
	// false
}
