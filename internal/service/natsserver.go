package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/internal/fault"
)

const (
	// embeddedURL is where the embedded server is, if its port is free.
	embeddedURL = "nats://127.0.0.1:4222"
	// embeddedPort is NATS's own; another is taken if it is in use.
	embeddedPort = 4222
	// embeddedStreamBytes bounds the stream of the embedded server.
	embeddedStreamBytes = 256 << 20
	natsStartTimeout    = 10 * time.Second
)

// natsServer is a NATS server with JetStream in this process, on the loopback.
type natsServer struct {
	server *server.Server
	url    string
}

// startNATS starts it and waits until it takes connections.
func startNATS(storeDir string) (*natsServer, error) {
	port, err := freePort(embeddedPort)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "virtcast",
		Host:       "127.0.0.1",
		Port:       port,
		JetStream:  true,
		StoreDir:   storeDir,
		NoLog:      true,
		NoSigs:     true,
	})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(natsStartTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("embedded NATS server with JetStream in %s is not ready after %v: is another one using the directory, or is it full?", storeDir, natsStartTimeout)
	}
	return &natsServer{server: s, url: s.ClientURL()}, nil
}

func (n *natsServer) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// freePort returns the preferred port if it is free, else another.
func freePort(preferred int) (int, error) {
	for _, port := range []int{preferred, 0} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		_, p, err := net.SplitHostPort(l.Addr().String())
		if err := errors.Join(err, l.Close()); err != nil {
			return 0, err
		}
		return strconv.Atoi(p)
	}
	return 0, fmt.Errorf("no free port on the loopback")
}

// endpointFile holds the URL of the embedded NATS server that runs, for tail.
func endpointFile() (string, error) {
	dir, err := config.DefaultDataDir()
	return filepath.Join(dir, "nats.url"), err
}

func writeEndpoint(url string) error {
	name, err := endpointFile()
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(url+"\n"), 0o600)); err != nil {
		return &fault.Error{Op: "write the NATS server's URL for virtcast tail", Hint: fault.Hint(err), Err: err}
	}
	return nil
}

// EmbeddedNATSURL returns the URL of the embedded NATS server that was last started on
// this machine by this user, or NATS's default.
func EmbeddedNATSURL() string {
	if name, err := endpointFile(); err == nil {
		if data, err := os.ReadFile(name); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	return embeddedURL
}
