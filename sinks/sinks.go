// Package sinks holds the one thing that sinks share: how a sink says that
// trying again is of no use. What a sink must do is declared where it is
// called, in package bridge, and held by package sinktest.
package sinks

// Permanent marks err as one that no retry can cure, for the first event that was not
// acknowledged: the event is too large, say. Everything else is transient. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent reports true. The bridge finds it by an interface with this one method,
// so that it need not import this package.
func (e *permanentError) Permanent() bool { return true }
