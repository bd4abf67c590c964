package nats

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/virtcast/virtcast/internal/tlsfiles"
)

// authOptions returns how to log in and how to verify the server. Files are read now, so
// that each connection uses what they hold then. Where the client library connects again
// by itself, it reads certificates and authorities again, too. secure wants TLS in any
// case, with a server that has a certificate for tlsName where the configuration and the
// server's URL have no name.
func authOptions(cfg Config, files *tlsfiles.Files, secure bool, tlsName string) ([]natsgo.Option, error) {
	var options []natsgo.Option
	switch {
	case cfg.Username != "":
		options = append(options, natsgo.UserInfo(cfg.Username, cfg.Password))
	case cfg.Token != "":
		options = append(options, natsgo.Token(cfg.Token))
	case cfg.NKey != "":
		option, err := natsgo.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, &Error{Op: "nkey file " + cfg.NKey, Hint: "write the path of a file with a user seed (SU…)", Err: err}
		}
		options = append(options, option)
	case cfg.Creds != "":
		option, err := credsOption(cfg.Creds)
		if err != nil {
			return nil, err
		}
		options = append(options, option)
	}
	if !secure && cfg.TLS == (TLSConfig{}) && !strings.Contains(cfg.URL, "tls://") && !strings.Contains(cfg.URL, "wss://") {
		return options, nil // Should the server want TLS, the system's authorities are used.
	}
	t, err := files.Client("")
	if err != nil {
		return nil, err
	}
	t.ServerName = cmp.Or(t.ServerName, tlsName)
	options = append(options, natsgo.Secure(t))
	if cfg.TLS.CA != "" {
		options = append(options, natsgo.ClientTLSConfig(nil, files.Roots))
	}
	return options, nil
}

func credsOption(path string) (natsgo.Option, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("creds file: %w", err)
	}
	defer clear(data)
	token, err := nkeys.ParseDecoratedJWT(data)
	if err == nil {
		var pair nkeys.KeyPair
		if pair, err = nkeys.ParseDecoratedUserNKey(data); err == nil {
			seed, seedErr := pair.Seed()
			if seedErr == nil {
				return natsgo.UserJWTAndSeed(token, string(seed)), nil
			}
			err = seedErr
		}
	}
	return nil, &Error{Op: "creds file " + path, Hint: "write the path of a file made by nsc generate creds", Err: err}
}

// credsExpiry returns when the JWT in a .creds file expires: the zero time for never, and
// for a file that cannot be read.
func credsExpiry(path string) time.Time {
	data, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}
	}
	defer clear(data)
	token, err := nkeys.ParseDecoratedJWT(data)
	if err != nil {
		return time.Time{}
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	var expiry struct {
		Seconds int64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(claims, &expiry) != nil || expiry.Seconds == 0 {
		return time.Time{}
	}
	return time.Unix(expiry.Seconds, 0)
}
