package libvirttest

import (
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// handle answers one frame. It returns false where libvirtd would close the connection.
func (c *Client) handle(h wire.Header, payload []byte) bool {
	if h.Program == wire.ProgramKeepalive && h.Version == wire.ProgramVersion && h.Type == wire.TypeMessage {
		if h.Procedure == wire.ProcKeepalivePing && !c.server.mutesKeepalive() {
			c.queueFrame(keepaliveHeader(wire.ProcKeepalivePong), nil)
		}
		return true
	}
	switch h.Type {
	case wire.TypeCall:
	case wire.TypeCallWithFDs, wire.TypeReplyWithFDs:
		return false // a count of file descriptors would follow, out of band
	case wire.TypeReply, wire.TypeMessage, wire.TypeStream, wire.TypeStreamHole:
		return true
	default:
		return true
	}
	c.mu.Lock()
	c.waiting++
	c.mu.Unlock()
	reply, fault := c.call(h, payload)
	out := wire.Header{
		Program: h.Program, Version: h.Version, Procedure: h.Procedure,
		Type: wire.TypeReply, Serial: h.Serial,
	}
	if fault != nil {
		var e wire.Encoder
		e.RemoteError(fault)
		out.Status, reply = wire.StatusError, e.Payload()
	}
	c.answer(out, reply)
	return true
}

// call returns the payload of the reply, or the error to send.
func (c *Client) call(h wire.Header, payload []byte) ([]byte, *wire.RemoteError) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case h.Version == wire.ProgramVersion && h.Program == wire.ProgramQEMU:
		return nil, c.monitorEvents()
	case h.Version != wire.ProgramVersion || h.Program != wire.ProgramRemote:
		return nil, rpcError("Cannot find program %d version %d", h.Program, h.Version)
	case h.Status != wire.StatusOK:
		return nil, rpcError("Unexpected message status %d", h.Status)
	}
	if fault, ok := s.faults.errors[h.Procedure]; ok {
		return nil, &fault
	}
	p, ok := procedures[h.Procedure]
	if !ok {
		return nil, rpcError("unknown procedure: %d", h.Procedure)
	}
	if !c.authenticated && !p.anyone {
		return nil, rpcError("authentication required")
	}
	d := wire.NewDecoder(payload)
	return p.serve(c, &d)
}

// procedure is one row of the table of calls. serve runs with server.mu held, decodes the
// arguments and returns the payload of the reply. Rests of the payload are ignored, as
// libvirtd does.
type procedure struct {
	serve func(*Client, *wire.Decoder) ([]byte, *wire.RemoteError)
	// anyone: allowed before authentication.
	anyone bool
}

var errDecode = rpcError("Unable to decode message payload")

// opened wraps a call that needs an open connection. Arguments are decoded first, so that
// malformed ones are always refused as such.
func opened[A any](decode func(*wire.Decoder) A, serve func(*Client, A) ([]byte, *wire.RemoteError)) procedure {
	return procedure{serve: func(c *Client, d *wire.Decoder) ([]byte, *wire.RemoteError) {
		args := decode(d)
		if d.Err() != nil {
			return nil, errDecode
		}
		if !c.open {
			return nil, errNotOpen
		}
		return serve(c, args)
	}}
}

var errNotOpen = internalError(fromRPC, "hypervisor connection not open")

func noArgs(*wire.Decoder) struct{} { return struct{}{} }

// monitorEvents is the whole of the QEMU program: events of QEMU's monitor, which a
// read-only client may not see.
func (c *Client) monitorEvents() *wire.RemoteError {
	const function = "virConnectDomainQemuMonitorEventRegister"
	switch {
	case !c.open:
		return errNotOpen
	case c.readOnly:
		return readOnlyError(fromNone, function)
	}
	return noSupport(fromNone, function)
}

func readOnlyError(from int32, function string) *wire.RemoteError {
	return remoteError(wire.CodeOperationDenied, from, "operation forbidden: %s",
		"read only access prevents %s", function)
}
