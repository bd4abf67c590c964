package wire

import (
	"fmt"

	"github.com/virtcast/virtcast/drivers/libvirt/peertext"
	"github.com/virtcast/virtcast/schema"
)

// Codes of [RemoteError] (virErrorNumber). Errors are classified by code, never by text.
const (
	CodeInternalError   int32 = 1
	CodeNoSupport       int32 = 3
	CodeNoConnect       int32 = 5
	CodeInvalidArg      int32 = 8
	CodeOperationDenied int32 = 29
	CodeSystemError     int32 = 38
	CodeRPC             int32 = 39
	CodeNoDomain        int32 = 42
	CodeAuthFailed      int32 = 45
	CodeAuthCancelled   int32 = 79
	CodeAccessDenied    int32 = 88
	CodeAuthUnavailable int32 = 94
)

// MaxErrorText is the longest text that is kept of a [RemoteError], in bytes, the name of
// its domain included. The protocol allows 4 MiB.
const MaxErrorText = 1024

// RemoteError is remote_error, the payload of a reply with [StatusError], without the
// network that it may name. The zero value of a string stands for NULL too.
type RemoteError struct {
	// Code is virErrorNumber, Domain is virErrorDomain (the part of libvirt that failed),
	// Level is virErrorLevel (2 is an error).
	Code, Domain int32
	Message      string
	Level        int32
	// Object is the domain that the error is about, if it names one.
	Object           *schema.Object
	Str1, Str2, Str3 string
	Int1, Int2       int32
	// Procedure is the call that was refused. It is not part of the structure: who reads
	// a reply may set it.
	Procedure int32
}

// Error returns "message (code N)".
func (e *RemoteError) Error() string {
	message := e.Message
	if message == "" {
		message = "the daemon gave no reason"
	}
	return fmt.Sprintf("%s (code %d)", message, e.Code)
}

// RemoteError reads a remote_error. Its texts become single lines of at most
// [MaxErrorText] bytes, since they are written to logs and terminals. What follows int2
// (the network) is not read.
func (d *Decoder) RemoteError() *RemoteError {
	e := &RemoteError{Code: d.Int32(), Domain: d.Int32()}
	e.Message = d.optionalText()
	e.Level = d.Int32()
	if d.Bool() {
		name := d.Bytes()
		if len(name) > MaxErrorText {
			name = []byte(peertext.Line(name, MaxErrorText))
		}
		e.Object = &schema.Object{Name: string(name), UUID: d.UUID(), ID: d.Int32()}
	}
	e.Str1, e.Str2, e.Str3 = d.optionalText(), d.optionalText(), d.optionalText()
	e.Int1, e.Int2 = d.Int32(), d.Int32()
	return e
}

// optionalText reads an optional string for an error message.
func (d *Decoder) optionalText() string {
	if !d.Bool() {
		return ""
	}
	return peertext.Line(d.Bytes(), MaxErrorText)
}

// RemoteError appends a remote_error that names no network. Empty strings are sent as
// NULL.
func (e *Encoder) RemoteError(r *RemoteError) {
	e.Int32(r.Code)
	e.Int32(r.Domain)
	e.stringOrNull(r.Message)
	e.Int32(r.Level)
	e.Bool(r.Object != nil)
	if r.Object != nil {
		e.Domain(*r.Object)
	}
	e.stringOrNull(r.Str1)
	e.stringOrNull(r.Str2)
	e.stringOrNull(r.Str3)
	e.Int32(r.Int1)
	e.Int32(r.Int2)
	e.Null()
}

func (e *Encoder) stringOrNull(s string) {
	if s == "" {
		e.Null()
		return
	}
	e.OptionalString(s)
}
