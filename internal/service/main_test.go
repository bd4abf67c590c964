package service

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if child := childOf(); child != nil {
		os.Exit(runChild(child))
	}
	os.Exit(m.Run())
}

func runChild(child func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := child(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childOf returns what this process is to do where a test started it as its child, else
// nil.
func childOf() func(context.Context) error {
	if config := os.Getenv(crashConfig); config != "" {
		return func(ctx context.Context) error { return crashChild(ctx, config, os.Getenv(crashAcks)) }
	}
	if socket := os.Getenv(idleSocket); socket != "" {
		return func(ctx context.Context) error { return idleServer(ctx, socket) }
	}
	return nil
}
