package libvirt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// stranger is a TLS server with a certificate that nobody vouches for. It accepts
// everybody as libvirtd does, asks for a login with PLAIN, and passes what it received to
// said.
func stranger(t *testing.T) (address string, said <-chan string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		defer close(heard)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write([]byte{1})
		var all strings.Builder
		for frames := wire.NewReader(conn); ; {
			h, args, err := frames.Next()
			if err != nil {
				heard <- all.String()
				return
			}
			var answer wire.Encoder
			switch h.Procedure {
			case wire.ProcAuthList:
				answer.Uint32(1)
				answer.Int32(wire.AuthSASL)
			case wire.ProcAuthSASLInit:
				answer.String("PLAIN")
			default:
				d := wire.NewDecoder(args)
				_, _ = d.String(), d.Int32()
				all.Write(d.Chars(wire.MaxSASLData))
			}
			h.Type = wire.TypeReply
			_, _ = conn.Write(wire.AppendFrame(nil, h, answer.Payload()))
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		for range heard { // until the server is gone
			continue
		}
	})
	return listener.Addr().String(), heard
}

// TestPasswordIsNotShownToAStranger holds that no_verify=1 does not hand the password to
// a server that may be anybody, and that the refusal names the cure.
func TestPasswordIsNotShownToAStranger(t *testing.T) {
	address, said := stranger(t)
	authFile := filepath.Join(t.TempDir(), "auth.conf")
	login := "[credentials-x]\nusername=jo\npassword=geheim\n[auth-libvirt-default]\ncredentials=x\n"
	if err := os.WriteFile(authFile, []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	driver, err := NewFromURI("kvm01", "qemu+tls://"+address+"/system?no_verify=1&authfile="+authFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = driver.Open(ctx, nil, newCollector().take)
	if got := <-said; strings.Contains(got, "geheim") {
		t.Errorf("the stranger heard %q", got)
	}
	if err == nil || !strings.Contains(err.Error(), "remove no_verify=1") {
		t.Errorf("got %v, want a refusal with the cure", err)
	}
}

// TestAccessDenialNamesThePermission holds that the hint of a denial names what the call
// needs, as libvirt spells it and as polkit does.
func TestAccessDenialNamesThePermission(t *testing.T) {
	for procedure, want := range map[int32]string{
		wire.ProcConnectOpen:              "must grant connect:getattr to this user",
		wire.ProcDomainEventRegisterAny:   "must grant connect:search_domains to this user (for polkit, the action org.libvirt.api.connect.search-domains), and domain:getattr",
		wire.ProcDomainEventDeregisterAny: "must grant connect:read to this user",
		wire.ProcConnectGetAllDomainStats: "and domain:read for each domain",
		wire.ProcDomainGetState:           "must grant domain:read to this user",
	} {
		var e wire.Encoder
		e.RemoteError(&wire.RemoteError{Code: wire.CodeAccessDenied, Message: "access denied"})
		r := replyOf(wire.Header{Procedure: procedure, Status: wire.StatusError}, e.Payload())
		if err := wrap("kvm01", "x", r.err); !IsAccessDenied(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("procedure %d: got %v, want a hint that says %q", procedure, err, want)
		}
	}
}

// TestLoginNoiseIsNotCalledTLS holds that a login shell which prints a greeting before
// the protocol begins is called what it is.
func TestLoginNoiseIsNotCalledTLS(t *testing.T) {
	tests := map[string]struct{ sent, want, never string }{
		"last login": {"Last login: Mon Mar  2 10:00:00 2026\r\n", `"Last login: Mon Mar 2 10:00:00 2026"; over ssh, a login script`, "TLS"},
		"motd":       {"\n*** kvm01 belongs to example.com ***\n", `"*** kvm01 belongs to example.com ***"; over ssh, a login script`, "TLS"},
		"tls":        {"\x15\x03\x03\x00\x02\x02\x32", "the peer speaks TLS instead of libvirt's protocol; use tls", "login script"},
		"bytes":      {"\xff\xff\xff\xff", "what answers there may not be libvirtd", "TLS"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = server.Read(make([]byte, 64)) // the first call, whatever it is
				_, _ = io.WriteString(server, tt.sent)
				_ = server.Close()
			}()
			_, err := New(Config{Name: "kvm01"}, Options{
				Dial: func(context.Context) (net.Conn, error) { return client, nil },
			}).Open(t.Context(), nil, newCollector().take)
			<-done
			if !errors.Is(err, wire.ErrFrameLength) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), tt.never) {
				t.Errorf("got %v, want it to say %q and not %q", err, tt.want, tt.never)
			}
		})
	}
}
