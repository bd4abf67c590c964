package lab_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/e2e/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testURI = "test:///default"

func TestLibvirtd(t *testing.T) {
	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, testURI)
	d.Define(t, testURI, "lab", lab.TestDomain("lab"))
	d.Virsh(t, testURI, "start", "lab")
	if got, want := d.Virsh(t, testURI, "domstate", "lab"), "running"; got != want {
		t.Errorf("got state %q, want %q", got, want)
	}
	d.Kill(t)
	if out, err := lab.TryVirsh(d.URI(testURI), "hostname"); err == nil {
		t.Errorf("a killed daemon says that its host is %q", out)
	}
	d.Start(t)
	d.Restart(t)
	if got, want := d.Virsh(t, testURI, "hostname"), d.Hostname; got != want {
		t.Errorf("got host name %q, want %q", got, want)
	}
}

func TestTransports(t *testing.T) {
	lab.Require(t, "libvirtd", "sasl")
	pki := lab.NewPKI(t)
	d := lab.Libvirtd(t, lab.Options{TCP: true, PKI: pki})
	secured := lab.Libvirtd(t, lab.Options{PKI: pki, SASL: map[string]string{"joe": "secret"}})
	auth := "&authfile=" + lab.AuthFile(t, "127.0.0.1", "joe", "secret")
	wrong := "&authfile=" + lab.AuthFile(t, "127.0.0.1", "joe", "wrong")
	for _, tc := range []struct{ name, uri, failure string }{
		{"unix", d.URI(testURI), ""},
		{"tcp", d.TCPURI(testURI), ""},
		{"tls with a good certificate", d.TLSURI(testURI, pki.Good), ""},
		{"tls with an expired certificate", d.TLSURI(testURI, pki.Expired), "expired"},
		{"tls with a certificate of another authority", d.TLSURI(testURI, pki.OtherCA), "certificate"},
		{"sasl", secured.TLSURI(testURI, pki.Good) + auth, ""},
		{"sasl with a wrong password", secured.TLSURI(testURI, pki.Good) + wrong, "authentication failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := lab.TryVirsh(tc.uri, "hostname")
			if tc.failure != "" {
				if err == nil || !strings.Contains(err.Error(), tc.failure) {
					t.Fatalf("got output %q and error %v, want an error that says %q", out, err, tc.failure)
				}
				return
			}
			if err != nil || out == "" {
				t.Fatalf("got output %q and error %v, want a host name", out, err)
			}
		})
	}
}
