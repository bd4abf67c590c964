// Package sasl is the client side of libvirt's SASL authentication: the mechanisms,
// which of them may be used where, and libvirt's authentication file. It does no RPC:
// the session carries its messages as procedures 67 to 69 of the remote program.
//
// Mechanisms: SCRAM-SHA-256 (RFC 7677), whose server proves that it knows
// the password too, and PLAIN (RFC 4616). Both only where nobody on the network can
// read along: over TLS, SSH or a unix socket. On plain TCP libvirtd insists on a SASL security
// layer, which only GSSAPI and DIGEST-MD5 have; neither is supported here. Use TLS.
// PLAIN shows the password to the server, so it needs one whose certificate or host key was
// verified: with no_verify=1 it is refused.
//
// Authentication files (auth.conf) are read as libvirt reads them. Like libvirt, virtcast
// does not judge who may read the file: keep it at mode 0600.
package sasl
