// Command virtcast publishes what happens to virtual machines: it registers event
// callbacks on every libvirt connection, wraps each event as a CloudEvent and publishes
// it to NATS and Kafka, ordered per domain, durable once received, with every gap
// declared.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once: the first gives the default back.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:gocritic // stop only gives signals back
}
