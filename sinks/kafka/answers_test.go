package kafka

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/virtcast/virtcast/sinks/sinktest"
)

// A port where something else listens is called that.
func TestNotABroker(t *testing.T) {
	for _, greeting := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.9\r\n", "\x15\x03\x03\x00\x02\x02\x50\x00", ""} {
		t.Run(greeting, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 1024))
					_, _ = io.WriteString(conn, greeting)
					_ = conn.Close()
				}
			}()
			defer func() { <-served }()
			defer func() { _ = listener.Close() }()
			s := newSink(t, Config{Brokers: []string{listener.Addr().String()}, ConnectTimeout: 5 * time.Second})
			n, err := sinktest.Prefix(t.Context(), s, sinktest.NewSource(1, 1).Take(1))
			if n != 0 || sinktest.IsPermanent(err) {
				t.Fatalf("Deliver = %d, %v, want 0 and a transient error", n, err)
			}
			oneLine(t, err, listener.Addr().String(), "no answer of a Kafka broker", "the port is not that of a Kafka listener without TLS", "tls: {}", "correct brokers")
		})
	}
}

// Answers that are damaged on their way cost a connection, and nothing else.
func TestDamagedAnswers(t *testing.T) {
	c := startCluster(t)
	sink := c.watch(t)
	source := sinktest.NewSource(2, 40)
	all := source.Take(80)
	sink.deliver(t, all)
	for i, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return append([]byte{0x7f}, b[1:]...) },                // an enormous length
		func(b []byte) []byte { b[7] ^= 0x55; return b },                               // another request's
		func(b []byte) []byte { b[8] = 0x7f; return b },                                // enormous lists
		func(b []byte) []byte { return b[:len(b)/2] },                                  // the rest never comes
		func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) },            // noise
		func(b []byte) []byte { return append([]byte{0, 0, 0, 4}, b[4:8]...) },         // nothing in it
		func(b []byte) []byte { return append(bytes.Clone(b), bytes.Clone(b[:9])...) }, // something behind it
	} {
		c.taps.garble(damage)
		events := source.Take(80)
		all = append(all, events...)
		sink.pump(t, events)
		if c.taps.garble(nil) {
			t.Errorf("damage %d was not done", i)
		}
	}
	c.stores(t, all)
	if n := sink.mayRepeat(); n != 0 {
		t.Errorf("%d events may be stored twice, want 0", n)
	}
}
