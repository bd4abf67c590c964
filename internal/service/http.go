package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/virtcast/virtcast/internal/fault"
)

// closeTimeout bounds how long requests that are under way may take when a server stops.
const closeTimeout = 5 * time.Second

// serveMetrics serves /metrics until ctx ends.
func (s *Service) serveMetrics(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Metrics.Listen)
	if err != nil {
		hints := fault.Hints{
			fault.AddressInUse:   "stop the program that listens there, or set metrics.listen (--metrics-listen) to another port",
			fault.AddressMissing: "set metrics.listen (--metrics-listen) to an address of this machine, such as 127.0.0.1:9177",
		}
		return &fault.Error{Op: "metrics", Hint: hints.For(err), Err: err}
	}
	s.log.InfoContext(ctx, "metrics are served", "url", "http://"+listener.Addr().String()+"/metrics")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	return serveHTTP(ctx, listener, mux)
}

// serveHTTP serves until ctx ends, and then until the requests under way are answered,
// for up to closeTimeout.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // The clients that are still connected have had their time.
		}
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	<-ended
	return nil
}
