// Package tlsfiles makes a client's TLS configuration of the files that a user names:
// authorities, a client certificate and its key, which may be encrypted.
//
// The files are read for every connection. A certificate that was rotated on disk is
// therefore used by the next connection, without a restart. What has not changed is not
// parsed again.
//
//	files := tlsfiles.New(cfg, "sinks[0].kafka.tls")
//	conn, err := files.Handshake(ctx, tcp, "kafka1:9093")
//
// Every error names the setting and what to write there.
package tlsfiles
