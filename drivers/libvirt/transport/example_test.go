package transport_test

import (
	"fmt"
	"log"

	"github.com/virtcast/virtcast/drivers/libvirt/transport"
)

// A URI says how to reach a daemon, and what to ask it for.
func ExampleParseURI() {
	for _, text := range []string{
		"qemu:///system",
		"qemu+tls://kvm01.example.com/system",
		"qemu+ssh://virt@kvm01.example.com/system?keyfile=/etc/virtcast/id",
	} {
		uri, err := transport.ParseURI(text)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s opens %s on %q\n", uri.Transport, uri.OpenName(), uri.Host)
	}
	_, err := transport.ParseURI("qemu+http://kvm01/system")
	fmt.Println(err)
	// Output:
	// unix opens qemu:///system on ""
	// tls opens qemu:///system on "kvm01.example.com"
	// ssh opens qemu:///system on "kvm01.example.com"
	// invalid libvirt URI: transport "http" is unknown; it is one of unix, tcp, tls, ssh
}
