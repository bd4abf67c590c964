package sasl_test

import (
	"fmt"

	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
)

// The best mechanism that both sides know is chosen. Over a transport that is not
// encrypted, none is.
func ExampleChoose() {
	credentials := sasl.Credentials{Username: "virtcast", Password: "secret", Source: "auth.conf"}
	fmt.Println("credentials:", credentials)
	for _, offered := range []string{"GSSAPI,SCRAM-SHA-256,PLAIN", "PLAIN"} {
		for _, encrypted := range []bool{true, false} {
			mechanism, err := sasl.Choose(sasl.Parse(offered), credentials, encrypted)
			if err != nil {
				fmt.Println(offered, encrypted, "refused")
				continue
			}
			fmt.Println(offered, encrypted, mechanism.Name())
		}
	}
	// Output:
	// credentials: virtcast from auth.conf
	// GSSAPI,SCRAM-SHA-256,PLAIN true SCRAM-SHA-256
	// GSSAPI,SCRAM-SHA-256,PLAIN false refused
	// PLAIN true PLAIN
	// PLAIN false refused
}
