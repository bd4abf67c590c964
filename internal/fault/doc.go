// Package fault is how a failure is reported to the operator who has to act on it: what
// was being done, what went wrong, and what to change, in one line.
//
// [Error] is the struct. [KindOf] recognises the failures that every network client has:
// certificates, TLS, dialling, DNS, files, limits of the system. Each [Kind] has a
// general hint. A room that knows the names of its own settings gives better words for
// some kinds with [Hints]:
//
//	var hints = fault.Hints{fault.UnknownAuthority: "set tls.ca to …"}
//
//	return &fault.Error{Op: "connect to " + url, Hint: hints.For(err), Err: err}
package fault
