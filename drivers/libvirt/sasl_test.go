package libvirt

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/drivers/libvirt/transport"
	"github.com/virtcast/virtcast/e2e/lab"
)

// TestLibvirtdSASL logs in to a real libvirtd over TLS.
func TestLibvirtdSASL(t *testing.T) {
	pki := lab.NewPKI(t)
	daemon := lab.Libvirtd(t, lab.Options{PKI: pki, SASL: map[string]string{"fred": "secret"}})
	uri, err := transport.ParseURI(daemon.TLSURI("test:///default", pki.Good))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return transport.Dialer{}.Dial(ctx, uri) }
	tests := []struct {
		name      string
		mechanism string
		password  string
		is        func(error) bool // nil for success
	}{
		{"scram", sasl.ScramSHA256, "secret", nil},
		{"plain", sasl.Plain, "secret", nil},
		{"scram, wrong password", sasl.ScramSHA256, "wrong", IsAuthentication},
		{"plain, wrong password", sasl.Plain, "wrong", IsAuthentication},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			choose := func([]string) (sasl.Mechanism, error) {
				return sasl.Choose([]string{tt.mechanism}, sasl.Credentials{Username: "fred", Password: tt.password}, sasl.Channel{Encrypted: true, Verified: uri.Verified()})
			}
			s, err := New(Config{Name: "tls", URI: uri.OpenName()}, Options{Dial: dial, SASL: choose}).
				open(t.Context(), newCollector().take)
			if tt.is != nil {
				var own *Error
				if !errors.As(err, &own) || own.Hint == "" || !tt.is(err) {
					t.Errorf("got %v, want a refusal with a hint", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if missing, err := s.Watch(t.Context(), []drivers.Filter{all}); err != nil || len(missing) > 0 {
				t.Error(missing, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("no login", func(t *testing.T) {
		_, err := New(Config{Name: "tls", URI: uri.OpenName()}, Options{Dial: dial}).open(t.Context(), newCollector().take)
		if err == nil {
			t.Error("opened without a login")
		}
	})
}
