// Package wire is libvirt's RPC protocol as bytes: frames, XDR, and the numbers
// and structures of those procedures that virtcast uses. Client (package
// libvirt) and test server (package libvirttest) share it; it does no input or output
// but through [Reader].
//
// Sources: src/rpc/virnetprotocol.x, src/remote/remote_protocol.x and
// src/rpc/virkeepaliveprotocol.x of libvirt, and frames recorded from libvirtd 9.0.0.
package wire
