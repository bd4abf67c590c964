package drivers

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/internal/fault"
	"github.com/virtcast/virtcast/schema"
)

const (
	// MaxText bounds a name, a host name, a URI and a text in an error, in bytes. A
	// longer one is cut, and ends with a mark.
	MaxText = 1024
	// MaxPayload bounds the payload of an observation, in bytes.
	MaxPayload = 64 << 10
)

// Driver opens sessions with the hypervisor of one connection. It holds nothing between
// two sessions. One session is open at a time.
type Driver interface {
	// Open connects, authenticates, and learns the identity of the hypervisor. It blocks
	// until then or until ctx ends. The end of ctx ends the opening only, not the
	// session.
	//
	// The session resumes behind p, where the hypervisor keeps a history. A nil p means
	// "from now on". A driver without a history ignores p.
	//
	// out takes what the session observes. It is called from one goroutine at a time, in
	// the order of the source, from the first Watch or List on until Done is closed. It
	// never blocks, and does not call the session. What a Batch points to belongs to the
	// driver and is valid during the call: out copies the slice of observations and the
	// position. Strings, the Connection, a Gap and a Listing may be kept; the driver does
	// not change them any more.
	Open(ctx context.Context, p schema.Position, out func(Batch)) (Session, error)
}

// Batch is what a driver delivers at once. Any of its parts may be missing.
type Batch struct {
	// Observations are in the order of the source. Their Connection is the session's, or
	// that of one of the hosts that the session's hypervisor manages.
	Observations []schema.Observation
	// Listing stands in the stream behind Observations.
	Listing *schema.Listing
	// Position is where the source can resume behind this batch. It becomes durable in
	// the same commit as the observations, never before them. nil leaves the position as
	// it was, and so does one that is longer than [schema.MaxPosition]. A batch with a
	// position should have at most 256 observations: a larger one may be made durable in
	// two parts, and a crash between them repeats the first part.
	Position schema.Position
	// Sure is set where the source tells up to when it has delivered everything; else
	// zero.
	Sure time.Time
}

// Filter says which events are wanted: those of a kind, of one domain or of every object.
type Filter struct {
	Kind schema.Kind
	// Domain is the nil UUID for every domain, and for the kinds of other families. The
	// domain need not exist.
	Domain schema.UUID
}

// Missing is a filter that is wanted and not in force.
type Missing struct {
	Filter Filter
	// Err is the reason. It is permanent ([Permanent]) if the hypervisor will not send
	// such events as long as the session lasts; otherwise it is worth asking again.
	Err error
}

// Session is one open connection. Its methods may be called by several goroutines, but
// not by out.
type Session interface {
	// Connection returns the identity: the same pointer for as long as the session lives.
	Connection() *schema.Connection
	// Watch makes the wanted filters the ones in force, and returns when they are. It is
	// called with the whole set each time; what is no longer in want ends. want belongs
	// to the caller, who may change it after the call. No two filters of one kind cover
	// the same domain.
	//
	// missing are the filters that could not be brought into force, each with its reason.
	// Filters that were in force and that cover what is missing stay in force. Any other
	// failure, and the end of ctx, is err: which filters are in force is then unknown,
	// and the caller closes the session.
	Watch(ctx context.Context, want []Filter) (missing []Missing, err error)
	// List asks for all domains. They come through out as one or several listings, before
	// List returns. An error says that the listing is not whole; it does not end the
	// session.
	List(ctx context.Context) error
	// Resumed reports whether nothing was skipped since the position that Open was given.
	// It is constant, and false where Open was given none.
	Resumed() bool
	// Sure returns a time up to which everything was delivered; zero if the driver cannot
	// tell. It may be called after Done, and then tells since when a lost session may
	// have missed events.
	Sure() time.Time
	// Done is closed when the session is lost or closed, and all its goroutines have
	// ended.
	Done() <-chan struct{}
	// Err returns why the session was lost, once Done is closed; nil if Close ended it.
	Err() error
	// Close ends the session and waits for its goroutines. It may be called twice.
	Close() error
}

// Permanent reports whether an error of [Missing] is permanent: whether it, or an error
// that it wraps, has a method Permanent() bool that returns true.
func Permanent(err error) bool { return fault.IsPermanent(err) }
