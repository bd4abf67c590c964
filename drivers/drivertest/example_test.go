package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/drivertest"
	"github.com/virtcast/virtcast/schema"
)

// A session that is opened with the position of an earlier one delivers what it missed.
func ExampleHistory() {
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	hypervisor := &drivertest.History{Path: filepath.Join(dir, "events")}
	err = hypervisor.Append(
		drivertest.HistoryEvent{Number: 1, Domain: schema.UUID{1}, Event: 0}, // defined
		drivertest.HistoryEvent{Number: 2, Domain: schema.UUID{1}, Event: 2}, // started
		drivertest.HistoryEvent{Number: 3, Domain: schema.UUID{1}, Event: 5}, // stopped
	)
	delivered := make(chan struct{})
	session, err2 := hypervisor.Open(context.Background(), schema.Position("1"), func(b drivers.Batch) {
		for _, o := range b.Observations {
			fmt.Println(schema.EventName(o.Kind, o.Event))
		}
		fmt.Printf("position %s\n", b.Position)
		close(delivered)
	})
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	fmt.Println("resumed:", session.Resumed())
	if _, err := session.Watch(context.Background(), []drivers.Filter{{Kind: schema.KindLifecycle}}); err != nil {
		log.Fatal(err)
	}
	<-delivered
	// Output:
	// resumed: true
	// started
	// stopped
	// position 3
}
