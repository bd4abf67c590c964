package fault

// general are the hints of the kinds, in words that suit any room.
var general = [...]string{
	UnknownAuthority: "set the authority (CA) to the PEM file of the one that signed the server's certificate",
	NoAuthorities:    "install the system's authorities (package ca-certificates), or set the authority (CA) to a PEM file",
	WrongName:        "use a host name that the server's certificate is made out for",
	Expired:          "renew the server's certificate, or check this machine's clock",
	BadCertificate:   "issue the server's certificate again, fit for a TLS server, or check this machine's clock",
	NotTLS:           "the server does not speak TLS on this port: check the port, or turn TLS off",
	TLSVersion:       "the server speaks no version of TLS that is safe: allow it TLS 1.2 or 1.3",
	ClientRefused:    "set the client certificate and key to ones that the server's authority signed",

	NameUnknown:  "check the host's name, and DNS",
	NameServer:   "check this machine's name servers (/etc/resolv.conf)",
	Refused:      "start the server, or correct its address and port",
	Unreachable:  "check the address, this machine's network and its routes",
	Timeout:      "check the address, and firewalls on the way",
	NoSocket:     "start the program that listens on the socket, or correct its path",
	SocketDenied: "give this user access to the socket (its group and mode)",

	AddressInUse:         "stop the program that listens there, or choose another port",
	AddressMissing:       "listen on an address that this machine has",
	PortDenied:           "choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE",
	TooManyFiles:         "raise the limit of open files (ulimit -n, or LimitNOFILE= in the systemd unit)",
	TooManyFilesInSystem: "raise the system's limit of open files (sysctl fs.file-max)",

	FileMissing: "check the path",
	FileDenied:  "let this user read the file: check its owner and mode, and those of the directories above it",
	NotAFile:    "write the path of a file, not of a directory",
	DiskFull:    "free space on the file system, or raise the quota",
	ReadOnly:    "mount the file system writable, or choose another path",
}

// Hint returns what to do about a failure of the kind, in general words; "" for kinds
// about which nothing can be said in general.
func (k Kind) Hint() string {
	if int(k) < len(general) {
		return general[k]
	}
	return ""
}

// Hints are a room's own words for some kinds. An empty text means that there is nothing
// to say about that kind.
type Hints map[Kind]string

// For returns the hint for err: the room's own words, else the general ones. It is ""
// where err already says what to do, see [Hinted].
func (h Hints) For(err error) string {
	if Hinted(err) {
		return ""
	}
	kind := KindOf(err)
	if own, ok := h[kind]; ok {
		return own
	}
	return kind.Hint()
}

// Hint returns the general hint for err; "" where there is none, or err already says what
// to do.
func Hint(err error) string { return Hints(nil).For(err) }
