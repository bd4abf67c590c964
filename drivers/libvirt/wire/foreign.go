package wire

import (
	"bytes"
	"fmt"

	"github.com/virtcast/virtcast/drivers/libvirt/peertext"
)

// Foreign is what a peer speaks instead of libvirt's protocol.
type Foreign string

// What is recognised.
const (
	ForeignText Foreign = "text"
	ForeignTLS  Foreign = "TLS"
	ForeignSSH  Foreign = "SSH"
	ForeignHTTP Foreign = "HTTP"
)

// maxSaid bounds what an error quotes of a peer that sends text, in bytes.
const maxSaid = 120

// ForeignError is returned when the bytes that came are no frame and show what they are.
// It wraps [ErrFrameLength].
type ForeignError struct {
	Kind Foreign
	// Said is the first line that the peer sent, cut to a bounded length; "" for TLS.
	Said string
}

// Error says what came, and quotes it.
func (e *ForeignError) Error() string {
	switch e.Kind {
	case ForeignTLS:
		return "the peer speaks TLS instead of libvirt's protocol"
	case ForeignSSH:
		return fmt.Sprintf("the peer is an ssh server instead of libvirt: it says %q", e.Said)
	case ForeignHTTP:
		return fmt.Sprintf("the peer is a web server instead of libvirt: it says %q", e.Said)
	default:
		return fmt.Sprintf("text comes instead of libvirt's protocol: %q", e.Said)
	}
}

// Unwrap returns [ErrFrameLength].
func (e *ForeignError) Unwrap() error { return ErrFrameLength }

// Cure is what an operator can do, a phrase without a full stop.
func (e *ForeignError) Cure() string {
	switch e.Kind {
	case ForeignTLS:
		return "use tls (qemu+tls://host/system) for this port"
	case ForeignSSH:
		return "use ssh (qemu+ssh://host/system) for this port, or name libvirt's own port"
	case ForeignHTTP:
		return "check host and port in the uri"
	default:
		return "over ssh, a login script of the user on the host prints it (let ~/.bashrc and the like print in interactive shells only), or the account may run no command; else what answers there may not be libvirtd"
	}
}

// recognise returns what the first bytes of a stream are, or nil if they show nothing.
// They are not those of a frame.
func recognise(head []byte) *ForeignError {
	if isTLS(head) {
		return &ForeignError{Kind: ForeignTLS}
	}
	if !isText(head) {
		return nil
	}
	said := firstLine(head)
	switch {
	case bytes.HasPrefix(head, []byte("SSH-")):
		return &ForeignError{ForeignSSH, said}
	case bytes.HasPrefix(head, []byte("HTTP/")):
		return &ForeignError{ForeignHTTP, said}
	default:
		return &ForeignError{ForeignText, said}
	}
}

// isTLS reports whether a TLS record begins here: an alert (21) or a handshake (22), then
// the version, whose first byte is 3. A TLS server answers a frame with an alert.
func isTLS(b []byte) bool {
	return len(b) >= 3 && (b[0] == 21 || b[0] == 22) && b[1] == 3 && b[2] <= 4
}

// isText reports whether b, of which at most the first kilobyte counts, is text of some
// encoding: no control characters but those that terminals know, and mostly ASCII.
func isText(b []byte) bool {
	b = b[:min(len(b), 1<<10)]
	ascii := 0
	for _, c := range b {
		switch {
		case c == '\a', c == '\b', c == '\t', c == '\n', c == '\f', c == '\r', c == '\x1b':
			ascii++
		case c < ' ' || c == '\x7f':
			return false
		case c < '\x7f':
			ascii++
		}
	}
	return len(b) > 0 && 2*ascii >= len(b)
}

// firstLine returns the first line of b that shows anything.
func firstLine(b []byte) string {
	for line := range bytes.FieldsFuncSeq(b, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if said := peertext.Line(line, maxSaid); said != "" {
			return said
		}
	}
	return ""
}
