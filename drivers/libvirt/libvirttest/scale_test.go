package libvirttest

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// idle opens n clients that are registered and silent, over unix sockets, and keeps
// nothing on their own side but the socket.
func idle(t testing.TB, s *Server, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	path := t.TempDir() + "/sock"
	if _, err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 64)
	for i := range conns {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns[i] = conn
		for procedure, x := range []struct {
			procedure int32
			args      []byte
			reply     int
		}{
			{wire.ProcAuthList, nil, 36},
			{wire.ProcConnectSupportsFeature, encode(int(wire.FeatureKeepalive)), 32},
			{wire.ProcConnectOpen, openArgs(s.URI(), wire.OpenReadOnly), 28},
			{wire.ProcDomainEventRegisterAny, registerAnyArgs(0, nil), 32},
		} {
			h := wire.Header{Program: wire.ProgramRemote, Version: 1, Procedure: x.procedure, Serial: uint32(procedure)}
			if _, err := conn.Write(wire.AppendFrame(nil, h, x.args)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, reply[:x.reply]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return conns
}

// heap returns the bytes in use by the heap and by stacks.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestThousandClients: one server serves them, and each gets the event.
func TestThousandClients(t *testing.T) {
	const n = 1000
	s := NewServer(Options{})
	defer s.Close()
	before := heap()
	conns := idle(t, s, n)
	per := (heap() - before) / n
	t.Logf("%d bytes of heap and stack for each client", per)
	if limit := int64(32 << 10); per > limit {
		t.Errorf("%d bytes for each client, want at most %d", per, limit)
	}
	d, _ := s.Domain(TestDomainUUID)
	d.Emit(2, 0)
	event := make([]byte, 68)
	for _, conn := range conns {
		if _, err := io.ReadFull(conn, event); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThousandServers: a server costs nothing but its memory.
func TestThousandServers(t *testing.T) {
	const n = 1000
	goroutines, before := runtime.NumGoroutine(), heap()
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = NewServer(Options{})
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines for %d servers without connections, want none", got-goroutines, n)
	}
	t.Logf("%d bytes for each server", (heap()-before)/n)
	for _, s := range servers {
		openPeer(t, s.Pipe(), s.URI(), 0)
	}
	for _, s := range servers {
		s.Close()
	}
}

// BenchmarkIdleClient reports what one idle client costs on the server's side (the
// socket's own side included), so that it can be taken off what is measured with a bridge
// in the same process.
func BenchmarkIdleClient(b *testing.B) {
	s := NewServer(Options{})
	defer s.Close()
	before := heap()
	n := min(b.N, 4000)
	conns := idle(b, s, n)
	b.ReportMetric(float64(heap()-before)/float64(len(conns)), "bytes/client")
}
