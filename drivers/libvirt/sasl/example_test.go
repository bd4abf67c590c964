package sasl_test

import (
	"fmt"

	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
)

// The best mechanism that both sides know is chosen. PLAIN, which shows the password, needs
// a daemon that was verified. Over a transport that is not encrypted, none is chosen.
func ExampleChoose() {
	credentials := sasl.Credentials{Username: "virtcast", Password: "secret", Source: "auth.conf"}
	fmt.Println("credentials:", credentials)
	for _, offered := range []string{"GSSAPI,SCRAM-SHA-256,PLAIN", "PLAIN"} {
		for _, channel := range []sasl.Channel{{Encrypted: true, Verified: true}, {Encrypted: true}, {}} {
			mechanism, err := sasl.Choose(sasl.Parse(offered), credentials, channel)
			if err != nil {
				fmt.Printf("%s %+v refused\n", offered, channel)
				continue
			}
			fmt.Printf("%s %+v %s\n", offered, channel, mechanism.Name())
		}
	}
	// Output:
	// credentials: virtcast from auth.conf
	// GSSAPI,SCRAM-SHA-256,PLAIN {Encrypted:true Verified:true} SCRAM-SHA-256
	// GSSAPI,SCRAM-SHA-256,PLAIN {Encrypted:true Verified:false} SCRAM-SHA-256
	// GSSAPI,SCRAM-SHA-256,PLAIN {Encrypted:false Verified:false} refused
	// PLAIN {Encrypted:true Verified:true} PLAIN
	// PLAIN {Encrypted:true Verified:false} refused
	// PLAIN {Encrypted:false Verified:false} refused
}
