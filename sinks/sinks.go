// Package sinks holds the one thing that all sinks share: [Permanent], which marks an error
// that no retry can cure. Package bridge declares what a sink must do, where it calls one;
// package sinktest tests it.
package sinks

// Permanent marks err as permanent: the event that it is about can never be delivered,
// because it is too large, say. Every other error is transient. Permanent returns nil for
// nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent reports true. The bridge asks for it by an interface with this one method, so
// that it need not import this package.
func (e *permanentError) Permanent() bool { return true }
