package transport

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// sshServer is an SSH server in this process. It runs no program: exec says what a
// command does.
type sshServer struct {
	t       *testing.T
	address string
	hostKey ssh.Signer
	// authority issues a certificate for the host key, valid until validBefore, which is
	// shown beside the bare key; nil for none.
	authority   ssh.Signer
	validBefore uint64
	// exec plays the remote command and returns its exit status; nil refuses every
	// command.
	exec func(command string, stdio io.ReadWriter, stderr io.Writer) uint32
	// forward plays a forwarded socket; nil refuses it.
	forward func(path string, stream io.ReadWriter)
	// refusal is what it says when it refuses to forward.
	refusal string

	config *ssh.ServerConfig
	mu     sync.Mutex // Guards conns.
	conns  []net.Conn
	served sync.WaitGroup
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// writeKey makes a key file.
func writeKey(t *testing.T, path string) (ssh.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "test")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, pem.EncodeToMemory(block))
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public, key
}

// writeLockedKey makes a key file that is protected by a passphrase, as far as one can
// see without the passphrase: the encrypted part is noise, since deriving a real key
// takes seconds under the race detector.
func writeLockedKey(t *testing.T, path string) (ssh.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, key := writeKey(t, path)
	body := ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public               []byte
		Encrypted            []byte
	}{"aes256-ctr", "bcrypt", "\x00\x00\x00\x10aaaaaaaaaaaaaaaa\x00\x00\x00\x10", 1, public.Marshal(), make([]byte, 144)})
	writeFile(t, path, encode("OPENSSH PRIVATE KEY", append([]byte("openssh-key-v1\x00"), body...)))
	return public, key
}

// startSSH serves until the test ends. Every user may log in with one of the keys.
func startSSH(t *testing.T, s *sshServer, authorized ...ssh.PublicKey) *sshServer {
	t.Helper()
	s.t, s.hostKey = t, newSigner(t)
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		for _, a := range authorized {
			if bytes.Equal(a.Marshal(), key.Marshal()) {
				return &ssh.Permissions{}, nil
			}
		}
		return nil, fmt.Errorf("key not authorized")
	}}
	s.config.AddHostKey(s.hostKey)
	if s.authority != nil {
		s.config.AddHostKey(s.certificate())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.served.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.cut()
		s.served.Wait()
	})
	return s
}

func (s *sshServer) certificate() ssh.Signer {
	s.t.Helper()
	cert := &ssh.Certificate{Key: s.hostKey.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: s.validBefore}
	if err := cert.SignCert(rand.Reader, s.authority); err != nil {
		s.t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, s.hostKey)
	if err != nil {
		s.t.Fatal(err)
	}
	return signer
}

// cut ends every connection without a word.
func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
}

func (s *sshServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	server, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	s.served.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		switch offered.ChannelType() {
		case "session":
			s.serveSession(offered)
		case "direct-streamlocal@openssh.com":
			s.serveForward(offered)
		default:
			_ = offered.Reject(ssh.UnknownChannelType, "no")
		}
	}
}

func (s *sshServer) serveSession(offered ssh.NewChannel) {
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	s.served.Go(func() {
		for request := range requests {
			if request.Type != "exec" || s.exec == nil {
				_ = request.Reply(false, nil)
				continue
			}
			_ = request.Reply(true, nil)
			s.served.Go(func() {
				status := s.exec(string(request.Payload[4:]), channel, channel.Stderr())
				_, _ = channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, status))
				_ = channel.Close()
			})
		}
	})
}

func (s *sshServer) serveForward(offered ssh.NewChannel) {
	if s.forward == nil {
		_ = offered.Reject(ssh.Prohibited, "forwarding is off"+s.refusal)
		return
	}
	size := binary.BigEndian.Uint32(offered.ExtraData())
	path := string(offered.ExtraData()[4 : 4+size])
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	s.served.Go(func() { ssh.DiscardRequests(requests) })
	s.served.Go(func() {
		s.forward(path, channel)
		_ = channel.Close()
	})
}

// echo plays a daemon that sends back what it gets.
func echo(stdio io.ReadWriter) { _, _ = io.Copy(stdio, stdio) }
