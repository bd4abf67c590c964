package fault

import (
	"errors"
	"strings"
)

// Error is a failure that an operator may have to act on.
type Error struct {
	// Op is what was being done: "connect to nats://…", "read topic virt.events".
	Op string
	// Hint is a lower-case phrase that says what to change, without a full stop. It is
	// empty where nothing but waiting helps, or where Err says it already.
	Hint string
	Err  error
}

// Error returns "op: cause; hint", in one line.
func (e *Error) Error() string {
	text := e.Op
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	if strings.ContainsAny(text, "\n\t\r") || strings.Contains(text, "  ") {
		text = strings.Join(strings.Fields(text), " ")
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether the cause is permanent: no retry can cure it.
func (e *Error) Permanent() bool { return IsPermanent(e.Err) }

// IsPermanent reports whether an error in err's tree has a method Permanent() bool that
// returns true. Every other error is transient.
func IsPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// Hinted reports whether err's text tells an operator what to do: an *Error in its tree
// has a hint.
func Hinted(err error) bool {
	for {
		var e *Error
		if !errors.As(err, &e) {
			return false
		}
		if e.Hint != "" {
			return true
		}
		err = e.Err
	}
}
