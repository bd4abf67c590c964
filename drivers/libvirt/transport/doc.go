// Package transport turns a libvirt URI into an open byte stream to a libvirt daemon:
// over a unix socket, TCP, TLS or SSH. It speaks no RPC and does no login; [Conn] says
// what kind of stream it is, so that the session can decide on that.
//
// The grammar and the meaning of URIs are libvirt's (docs/uri.rst and
// src/remote/remote_driver.c). These are the differences, all on the side of caution:
//
//   - libvirt hands a parameter that it does not know to the hypervisor's driver. Here an
//     unknown parameter is an error, and so is one that has no meaning for the transport:
//     a misspelt no_verify must not pass unseen.
//   - Every URI goes to a daemon. libvirt's own library runs some drivers in the calling
//     process (test:///default, esx://); there is none here. test:///default is asked of
//     the system's daemon by root and of the user's daemon by others.
//   - Daemons are never started (virt-ssh-helper on another host may start a session
//     daemon there), and passwords never asked for.
//   - The system's read-only socket is used where there is one.
//   - ssh is spoken in this process. libssh and libssh2 mean the same as ssh. The files
//     ~/.ssh/config and /etc/ssh/ssh_config are not read: say user@, port, keyfile= and
//     known_hosts= in the URI. Host keys are checked against ~/.ssh/known_hosts and
//     /etc/ssh/ssh_known_hosts.
//   - A revocation list that cannot be applied lets nobody in: one that is unreadable,
//     expired, of another authority, or with a critical extension. libvirt passes over it.
//   - Nothing is taken from below the working directory. Without HOME, or with a relative
//     one, only the system's files count.
//   - ext (a program as transport) is refused, and so are tls_priority= (a GnuTLS
//     setting) and command= (another ssh program).
package transport
