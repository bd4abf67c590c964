package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/internal/config"
)

// idleSocket is set in the child that plays the hypervisors of the idle benchmark, so
// that their memory is not counted.
const idleSocket = "VIRTCAST_IDLE_SOCKET"

const idleConnections = 1000

// idleServer serves the socket until its standard input ends.
func idleServer(ctx context.Context, socket string) error {
	server := libvirttest.NewServer(libvirttest.Options{Hostname: "kvm01.example.com"})
	defer server.Close()
	if _, err := server.Listen("unix", socket); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// BenchmarkIdleConnections reports what a connection costs that nothing happens on: heap
// and stacks of a whole virtcast with 1,000 of them, less one without any.
func BenchmarkIdleConnections(b *testing.B) {
	dir := b.TempDir()
	socket := filepath.Join(dir, "sock")
	child := command.New(b.Context(), 5*time.Minute, os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), idleSocket+"="+socket)
	child.Stderr = os.Stderr
	ready, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if _, err := ready.Read(make([]byte, 16)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		one := idleMemory(b, socket, 1)
		many := idleMemory(b, socket, 1+idleConnections)
		b.ReportMetric(float64(many-one)/idleConnections/1024, "KiB/connection")
	}
	b.ReportMetric(0, "ns/op")
}

// idleMemory returns the bytes of heap and stacks of a virtcast with n connections.
func idleMemory(b *testing.B, socket string, n int) int64 {
	c := &config.Config{DataDir: b.TempDir()}
	for i := range n {
		c.Connections = append(c.Connections, config.Connection{
			Name: fmt.Sprintf("kvm%05d", i), URI: "test+unix:///default?socket=" + socket,
		})
	}
	s, err := New(c, Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		up := 0
		for _, c := range s.Registry().Stats() {
			if c.Up {
				up++
			}
		}
		if up == n {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d connections are up", up, n)
		}
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return int64(m.HeapInuse + m.StackInuse)
}
