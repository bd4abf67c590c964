package tlsfiles

import (
	"errors"

	"github.com/virtcast/virtcast/internal/field"
)

// Config names the files. A package that has such settings converts its own struct of the
// same fields to it. The zero value verifies servers against the system's authorities.
type Config struct {
	// CA is the path of a PEM file with the authorities that may sign the server's
	// certificate; empty means the system's.
	CA string
	// Cert and Key are the paths of the client's PEM files; both may be the same file.
	Cert string
	Key  string
	// KeyPassword decrypts Key.
	KeyPassword string
	// ServerName is the name that the server's certificate must be made out for; empty
	// means the host that is connected to.
	ServerName string
	// Insecure accepts any server certificate.
	Insecure bool
}

// Validate adds every fault of c that can be seen without reading a file to f, at the
// keys below path: ca, cert, key, key_password, server_name and insecure.
func (c Config) Validate(f *field.Faults, path field.Path) {
	if (c.Cert == "") != (c.Key == "") {
		f.Add(path, "give both or neither", "cert and key belong together")
	}
	if c.KeyPassword != "" && c.Key == "" {
		f.Add(path.Key("key_password"), "add key and cert, or remove key_password", "there is no key to decrypt")
	}
	if c.Insecure && c.CA != "" {
		f.Add(path.Key("insecure"), "remove insecure, or ca", "insecure accepts any certificate, so ca would have no effect")
	}
}

// Check reads the files, and adds every fault in them to f, at the keys below path.
func (c Config) Check(f *field.Faults, path field.Path) {
	files := New(c, path)
	_, caErr := files.Roots()
	_, pairErr := files.Certificate()
	for _, err := range []error{caErr, pairErr} {
		var bad *fileError
		if errors.As(err, &bad) {
			f.Add(path.Key(bad.key), bad.hint, "%v", bad.err)
		}
	}
}
