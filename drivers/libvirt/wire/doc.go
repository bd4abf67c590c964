// Package wire is libvirt's RPC protocol as bytes: frames, XDR, and the numbers and
// structures of the procedures that virtcast uses. The client (package libvirt) and the
// test server (package libvirttest) share it. Only [Reader] does input, and nothing does
// output.
//
// Sources: src/rpc/virnetprotocol.x, src/remote/remote_protocol.x and
// src/rpc/virkeepaliveprotocol.x of libvirt, and frames recorded from libvirtd 9.0.0.
package wire
