package libvirt_test

import (
	"context"
	"net"
	"runtime"
	"testing"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/schema"
)

// BenchmarkIdleSession measures what an open session with one callback costs while
// nothing happens: memory of heap and stacks, and goroutines. The test server is in the
// same process, so its share is in the figures; what it needs for a bare connection is
// reported beside them.
func BenchmarkIdleSession(b *testing.B) {
	const n = 500
	server := libvirttest.NewServer(libvirttest.Options{})
	defer server.Close()
	var conns []net.Conn
	serverBytes, _ := growth(func() {
		for range n {
			conn, err := server.DialContext(b.Context(), "", "")
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
		}
	})
	for _, conn := range conns {
		if err := conn.Close(); err != nil {
			b.Fatal(err)
		}
	}
	driver := libvirt.New(libvirt.Config{Name: "idle", URI: server.URI()}, libvirt.Options{
		Dial: func(ctx context.Context) (net.Conn, error) { return server.DialContext(ctx, "", "") },
	})
	var sessions []drivers.Session
	bytes, goroutines := growth(func() {
		for range n {
			s, err := driver.Open(b.Context(), nil, func(drivers.Batch) {})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Watch(b.Context(), []drivers.Filter{{Kind: schema.KindLifecycle}}); err != nil {
				b.Fatal(err)
			}
			sessions = append(sessions, s)
		}
	})
	for b.Loop() {
		runtime.Gosched() // nothing to repeat
	}
	for _, s := range sessions {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(bytes)/n, "B/session-and-server")
	b.ReportMetric(float64(serverBytes)/n, "B/bare-server")
	b.ReportMetric(float64(goroutines)/n, "goroutines/session-and-server")
}

// growth returns how much more memory (heap and stacks in use) and how many more
// goroutines there are after fill than before.
func growth(fill func()) (bytes int64, goroutines int) {
	measure := func() (int64, int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
	}
	bytes, goroutines = measure()
	fill()
	after, running := measure()
	return after - bytes, running - goroutines
}
