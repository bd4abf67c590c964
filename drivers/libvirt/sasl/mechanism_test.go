package sasl

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoose(t *testing.T) {
	jo := Credentials{Username: "jo", Password: "geheim"}
	all := []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "PLAIN", "GSSAPI"}
	open, secret := Channel{}, Channel{Encrypted: true}
	verified := Channel{Encrypted: true, Verified: true}
	tests := map[string]struct {
		offered []string
		creds   Credentials
		channel Channel
		want    string
		wantErr error
		says    string
	}{
		"the best":                 {offered: all, creds: jo, channel: verified, want: ScramSHA256},
		"plain if need be":         {offered: []string{"GSSAPI", "plain"}, creds: jo, channel: verified, want: Plain},
		"never in the open":        {offered: all, creds: jo, channel: open, wantErr: ErrNotEncrypted, says: "use tls"},
		"nor if it is verified":    {offered: all, creds: jo, channel: Channel{Verified: true}, wantErr: ErrNotEncrypted, says: "use tls"},
		"scram to a stranger":      {offered: all, creds: jo, channel: secret, want: ScramSHA256},
		"no password to strangers": {offered: []string{"GSSAPI", "plain"}, creds: jo, channel: secret, wantErr: ErrNotVerified, says: "remove no_verify=1"},
		"nor any other cure":       {offered: []string{"PLAIN"}, creds: jo, channel: secret, wantErr: ErrNotVerified, says: "or add scram-sha-256 to mech_list"},
		"nothing in common":        {offered: []string{"DIGEST-MD5", "GSSAPI"}, creds: jo, channel: verified, wantErr: ErrNoMechanism, says: "the daemon offers DIGEST-MD5, GSSAPI, virtcast has SCRAM-SHA-256 and PLAIN"},
		"nothing at all":           {creds: jo, channel: verified, wantErr: ErrNoMechanism, says: "the daemon offers no mechanism"},
		"no user":                  {offered: all, creds: Credentials{Password: "x"}, channel: verified, wantErr: ErrNoCredentials, says: "user name is empty"},
		"a name for no scram":      {offered: all, creds: Credentials{Username: "\u0007"}, channel: verified, says: "prepare user name"},
		"a name for no plain":      {offered: []string{"PLAIN"}, creds: Credentials{Username: "a\x00b"}, channel: verified, says: "NUL byte"},
		"4 MiB of mechanisms":      {offered: []string{strings.Repeat("x\n", 2<<20)}, creds: jo, channel: verified, wantErr: ErrNoMechanism, says: "x x x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(tc.offered, tc.creds, tc.channel)
			if tc.want != "" {
				if err != nil || got.Name() != tc.want {
					t.Fatalf("got %v, %v, want %s", got, err, tc.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) || (tc.wantErr != nil && !errors.Is(err, tc.wantErr)) {
				t.Errorf("got %v, want %v that says %q", err, tc.wantErr, tc.says)
			}
			if err != nil && (strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 1024) {
				t.Errorf("the message shows the password or is too long: %v", err)
			}
		})
	}
}

// TestMechanismsThatShowThePassword holds that the table is right about who sees it: the
// first message to a server that proved nothing.
func TestMechanismsThatShowThePassword(t *testing.T) {
	for _, m := range mechanisms {
		attempt, err := m.start(Credentials{Username: "jo", Password: "geheim"})
		if err != nil {
			t.Fatal(err)
		}
		if attempt.Name() != m.name {
			t.Errorf("the row of %s starts %s", m.name, attempt.Name())
		}
		first, _, err := attempt.Start()
		if err != nil || strings.Contains(string(first), "geheim") != m.shows {
			t.Errorf("%s: first message %q, %v; the table says that it shows the password: %t", m.name, first, err, m.shows)
		}
	}
}

func TestParse(t *testing.T) {
	want := []string{"SCRAM-SHA-256", "PLAIN"}
	if diff := cmp.Diff(want, Parse("SCRAM-SHA-256,PLAIN")); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if got := Parse(""); len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	c := Credentials{Username: "jo", Password: "geheim", Source: "/f"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "credentials", c)
	for _, got := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q", c, &c), log.String()} {
		if strings.Contains(got, "geheim") || !strings.Contains(got, "jo from /f") {
			t.Errorf("got %s, want the name without the password", got)
		}
	}
}
