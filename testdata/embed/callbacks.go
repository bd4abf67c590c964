package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

func main() {
	driver, err := libvirt.NewFromURI("kvm01", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	r := registry.New(registry.Options{})
	if err := r.AddConnection(registry.Connection{Name: "kvm01", Driver: driver}); err != nil {
		log.Fatal(err)
	}
	_, err = r.RegisterAny(registry.Registration{
		Kinds: []schema.Kind{schema.KindLifecycle},
		Sinks: []string{}, // none: this program publishes nothing
		Callback: registry.ObserverFunc(func(o schema.Observation) {
			fmt.Println(o.Object.Name, schema.EventName(o.Kind, o.Event), schema.DetailName(o.Kind, o.Event, o.Detail))
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(r.Run(context.Background()))
}
