package producer

import "sync"

// delivery is what one call of Deliver has come to. Senders share it: they call its
// methods concurrently.
type delivery struct {
	records Delivery
	next    []int32 // links the queues of the partitions
	status  []Status

	mu      sync.Mutex // serialises outcome, and guards settled
	outcome func(i int, err error)
	settled int
}

// begin prepares for the records of a call.
func (d *delivery) begin(records Delivery, outcome func(i int, err error)) {
	n := records.Len()
	d.records, d.outcome, d.settled = records, outcome, 0
	if cap(d.next) < n {
		d.next, d.status = make([]int32, n), make([]Status, n)
	}
	d.next, d.status = d.next[:n], d.status[:n]
	clear(d.status)
}

// left is how many records have no outcome.
func (d *delivery) left() int { return len(d.status) - d.settled }

// stored gives records their outcome: they are stored.
func (d *delivery) stored(at []int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range at {
		if i != none {
			d.status[i] = Settled
			d.settled++
			d.outcome(int(i), nil)
		}
	}
}

// refused gives a record its outcome: it can never be stored.
func (d *delivery) refused(i int32, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status[i] = Settled
	d.settled++
	d.outcome(int(i), err)
}
