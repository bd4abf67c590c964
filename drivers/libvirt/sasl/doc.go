// Package sasl is the client side of libvirt's SASL authentication: the mechanisms, which
// of them may be used where, and libvirt's authentication file. It does no RPC: the
// session carries its messages as procedures 67 to 69 of the remote program.
//
// There are two mechanisms: SCRAM-SHA-256 (RFC 7677), whose server proves that it knows
// the password too, and PLAIN (RFC 4616). Both are used only where nobody on the network
// can read along: over TLS, SSH or a unix socket. PLAIN shows the password to the server.
// It is refused unless the server's certificate or host key was verified.
//
// On plain TCP libvirtd insists on a SASL security layer. Only GSSAPI and DIGEST-MD5 have
// one, and neither is supported here. Use TLS.
//
// Authentication files (auth.conf) are read as libvirt reads them. Like libvirt, virtcast
// does not judge who may read the file: keep it at mode 0600.
package sasl
