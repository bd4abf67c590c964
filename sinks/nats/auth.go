package nats

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// errCredentials is in the error when a credentials file cannot be used.
var errCredentials = errors.New("credentials")

// authOptions returns how to log in and how to verify the server. Files are read now, so that
// each connection uses what they hold then.
func authOptions(cfg Config) ([]natsgo.Option, error) {
	var options []natsgo.Option
	switch {
	case cfg.Username != "":
		options = append(options, natsgo.UserInfo(cfg.Username, cfg.Password))
	case cfg.Token != "":
		options = append(options, natsgo.Token(cfg.Token))
	case cfg.NKey != "":
		option, err := natsgo.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey file %s: %w; write the path of a file with a user seed (SU…)",
				cfg.NKey, errors.Join(errCredentials, err))
		}
		options = append(options, option)
	case cfg.Creds != "":
		option, err := credsOption(cfg.Creds)
		if err != nil {
			return nil, err
		}
		options = append(options, option)
	}
	if cfg.TLS == (TLSConfig{}) && !strings.Contains(cfg.URL, "tls://") && !strings.Contains(cfg.URL, "wss://") {
		return options, nil // Should the server want TLS, the system's authorities are used.
	}
	t, err := cfg.TLS.load()
	if err != nil {
		return nil, err
	}
	return append(options, natsgo.Secure(t)), nil
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
	return nil, fmt.Errorf("creds file %s: %w: %w; write the path of a file made by nsc generate creds", path, errCredentials, err)
}

// credsExpiry returns when the JWT in a .creds file expires; zero for never and for a file that
// cannot be read.
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

// load reads the files of a TLS configuration.
func (t TLSConfig) load() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: t.Insecure, //nolint:gosec // The user asks for it by name.
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca %s: %w: no certificate in PEM form", t.CA, errCredentials)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
