package libvirttest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// Parts of libvirt that an error can come from (virErrorDomain).
const (
	fromNone   int32 = 0
	fromRPC    int32 = 7
	fromQEMU   int32 = 10
	fromTest   int32 = 12
	fromDomain int32 = 20
)

// Codes (virErrorNumber) that only a server has a use for.
const (
	codeOperationInvalid   int32 = 55
	codeOperationFailed    int32 = 9
	codeArgumentUnsupport  int32 = 74
	levelError             int32 = 2
	unsupportedFlagsFormat       = "unsupported flags (0x%x) in function %s"
)

// remoteError builds an error as virReportError does: the code's own prefix with the
// message in it, and both in the strings.
func remoteError(code, from int32, prefix, format string, args ...any) *wire.RemoteError {
	text := fmt.Sprintf(format, args...)
	return &wire.RemoteError{
		Code: code, Domain: from, Level: levelError,
		Message: strings.Replace(prefix, "%s", text, 1),
		Str1:    prefix, Str2: text,
		Int1: -1, Int2: -1,
	}
}

func internalError(from int32, format string, args ...any) *wire.RemoteError {
	return remoteError(wire.CodeInternalError, from, "internal error: %s", format, args...)
}

func rpcError(format string, args ...any) *wire.RemoteError {
	return remoteError(wire.CodeRPC, fromRPC, "%s", format, args...)
}

func invalidOperation(from int32, text string) *wire.RemoteError {
	return remoteError(codeOperationInvalid, from, "Requested operation is not valid: %s", "%s", text)
}

func noSupport(from int32, function string) *wire.RemoteError {
	return remoteError(wire.CodeNoSupport, from, "this function is not supported by the connection driver: %s", "%s", function)
}

// unsupportedFlags is virCheckFlags's error. Its strings are not those of virReportError.
func unsupportedFlags(from int32, flags uint32, function string) *wire.RemoteError {
	return &wire.RemoteError{
		Code: wire.CodeInvalidArg, Domain: from, Level: levelError,
		Message: fmt.Sprintf(unsupportedFlagsFormat, flags, function),
		Str1:    function, Str2: "flags",
	}
}

// domainNotFound is the answer of the look-ups, which say nothing more.
func domainNotFound(from int32) *wire.RemoteError {
	return &wire.RemoteError{
		Code: wire.CodeNoDomain, Domain: from, Level: levelError,
		Message: "Domain not found", Str1: "Domain not found", Int1: -1, Int2: -1,
	}
}

// asRemoteError is what the daemon sends for err.
func asRemoteError(err error) *wire.RemoteError {
	var e *wire.RemoteError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	}
	return internalError(fromNone, "%v", err)
}
