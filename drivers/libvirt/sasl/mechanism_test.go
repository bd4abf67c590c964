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
	tests := map[string]struct {
		offered   []string
		creds     Credentials
		encrypted bool
		want      string
		wantErr   error
		says      string
	}{
		"the best":            {offered: all, creds: jo, encrypted: true, want: ScramSHA256},
		"plain if need be":    {offered: []string{"GSSAPI", "plain"}, creds: jo, encrypted: true, want: Plain},
		"never in the open":   {offered: all, creds: jo, wantErr: ErrNotEncrypted, says: "use tls"},
		"nothing in common":   {offered: []string{"DIGEST-MD5", "GSSAPI"}, creds: jo, encrypted: true, wantErr: ErrNoMechanism, says: "the daemon offers DIGEST-MD5, GSSAPI, virtcast has SCRAM-SHA-256 and PLAIN"},
		"nothing at all":      {creds: jo, encrypted: true, wantErr: ErrNoMechanism, says: "the daemon offers no mechanism"},
		"no user":             {offered: all, creds: Credentials{Password: "x"}, encrypted: true, wantErr: ErrNoCredentials, says: "user name is empty"},
		"a name for no scram": {offered: all, creds: Credentials{Username: "\u0007"}, encrypted: true, says: "prepare user name"},
		"a name for no plain": {offered: []string{"PLAIN"}, creds: Credentials{Username: "a\x00b"}, encrypted: true, says: "NUL byte"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(tc.offered, tc.creds, tc.encrypted)
			if tc.want != "" {
				if err != nil || got.Name() != tc.want {
					t.Fatalf("got %v, %v, want %s", got, err, tc.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) || (tc.wantErr != nil && !errors.Is(err, tc.wantErr)) {
				t.Errorf("got %v, want %v that says %q", err, tc.wantErr, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("the message shows the password: %v", err)
			}
		})
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
