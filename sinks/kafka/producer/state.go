package producer

// state is what a partition's batch has come to. At most one batch exists at a time.
type state uint8

const (
	impossible state = iota
	// empty: there is no batch.
	empty
	// made: the batch is not stored, and no request has it.
	made
	// sent: the batch is in a request, and no earlier attempt can be stored.
	sent
	// unconfirmed: the batch was sent, and the broker may have stored it.
	unconfirmed
	// resent: an unconfirmed batch is in a request again.
	resent
	// gone: the partition does not exist any more.
	gone
	states
)

// event is what happens to a partition's batch.
type event uint8

const (
	// build: a batch is made of the records at the head of the queue.
	build event = iota
	// send: the batch is put into a request.
	send
	// reject: this attempt is not stored for certain, and the batch stays as it is.
	reject
	// lose: it is not known whether this attempt is stored.
	lose
	// confirm: the batch is stored.
	confirm
	// refuse: the batch will never be stored as it is. Its records go back to the queue.
	refuse
	// renew: the batch gets another producer id, and a new sequence.
	renew
	// end: the delivery is over. A batch that is not stored for certain is taken apart.
	end
	// remove: the partition was deleted.
	remove
	events
)

// transitions is the life of a partition's batch:
//
//	empty ─build─► made ─send─► sent ─confirm, refuse─► empty
//	                ▲  ◄─reject──┤
//	              renew          └─lose─► unconfirmed ─send─► resent ─confirm, refuse─► empty
//	                └─────────────────────────┘  ◄─reject, lose──┘
//
// What is missing is impossible: a batch is never replaced while it may be stored.
var transitions = [states][events]state{
	empty:       {build: made, renew: empty, end: empty, remove: gone},
	made:        {send: sent, renew: made, end: empty, remove: gone},
	sent:        {reject: made, lose: unconfirmed, confirm: empty, refuse: empty},
	unconfirmed: {send: resent, renew: made, end: unconfirmed, remove: gone},
	resent:      {reject: unconfirmed, lose: unconfirmed, confirm: empty, refuse: empty},
	gone:        {end: gone, remove: gone},
}

// pending reports whether there is a batch.
func (s state) pending() bool { return s > empty && s < gone }

// underWay reports whether the batch is in a request.
func (s state) underWay() bool { return s == sent || s == resent }

// maybeStored reports whether the broker may have stored the batch.
func (s state) maybeStored() bool { return s == unconfirmed || s == resent }

// String returns the name.
func (s state) String() string {
	return [...]string{"impossible", "empty", "made", "sent", "unconfirmed", "resent", "gone"}[s]
}

// String returns the name.
func (e event) String() string {
	return [...]string{"build", "send", "reject", "lose", "confirm", "refuse", "renew", "end", "remove"}[e]
}
