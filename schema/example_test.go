package schema_test

import (
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
