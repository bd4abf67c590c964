package sasl

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// scramServer is a daemon that knows one user.
type scramServer struct {
	conversation *scram.ServerConversation
	// early says complete together with the last challenge, as servers with success data
	// do.
	early bool
	// iterations, if not empty, replaces the 4096 of the first challenge.
	iterations string
	// final replaces the server's last message.
	final string
	// skip says complete without any proof.
	skip  bool
	steps int
}

func newScramServer(t *testing.T, password string) *scramServer {
	t.Helper()
	client, err := scram.SHA256.NewClient("jo", password, "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	return &scramServer{conversation: server.NewConversation()}
}

func (s *scramServer) SASLStart(ctx context.Context, mechanism string, data []byte, has bool) (Reply, error) {
	if mechanism != ScramSHA256 || !has {
		return Reply{}, errors.New("bad start")
	}
	return s.SASLStep(ctx, data, has)
}

func (s *scramServer) SASLStep(_ context.Context, data []byte, has bool) (Reply, error) {
	s.steps++
	if s.conversation.Done() {
		if has {
			return Reply{}, errors.New("a message where none is due")
		}
		return Reply{Complete: true}, nil
	}
	challenge, err := s.conversation.Step(string(data))
	if err != nil {
		return Reply{}, errors.New("authentication failed")
	}
	if s.conversation.Done() {
		if s.skip {
			return Reply{Complete: true}, nil
		}
		if s.final != "" {
			challenge = s.final
		}
		return Reply{Complete: s.early, Data: []byte(challenge), Has: true}, nil
	}
	if s.iterations != "" {
		challenge = strings.Replace(challenge, ",i=4096", ",i="+s.iterations, 1)
	}
	return Reply{Data: []byte(challenge), Has: true}, nil
}

func TestAuthenticateScram(t *testing.T) {
	tests := map[string]struct {
		password  string
		change    func(*scramServer)
		want      string // in the error; "" for success
		wantErr   error
		wantSteps int
	}{
		"good":                  {wantSteps: 3},
		"proof with completion": {change: func(s *scramServer) { s.early = true }, wantSteps: 2},
		"wrong password":        {password: "falsch", want: "authentication failed", wantSteps: 2},
		"no proof":              {change: func(s *scramServer) { s.skip = true }, wantErr: ErrServerUnproven, wantSteps: 2},
		"wrong proof":           {change: func(s *scramServer) { s.final = "v=AAAA" }, want: "server validation failed", wantSteps: 2},
		"wrong proof, complete": {change: func(s *scramServer) { s.final, s.early = "v=AAAA", true }, want: "server validation failed", wantSteps: 2},
		"server's error":        {change: func(s *scramServer) { s.final = "e=other-error" }, want: "other-error", wantSteps: 2},
		"a long error":          {change: func(s *scramServer) { s.final = "e=" + strings.Repeat("x\n", 30000) }, want: "server error: x x", wantSteps: 2},
		"no message at all":     {change: func(s *scramServer) { s.final = "?" }, want: ScramSHA256, wantSteps: 2},
		"too few iterations":    {change: func(s *scramServer) { s.iterations = "1000" }, want: "too few iterations (1000)", wantSteps: 1},
		"iterations no number":  {change: func(s *scramServer) { s.iterations = "x" }, want: "iteration count is not a number", wantSteps: 1},
		"too many iterations":   {change: func(s *scramServer) { s.iterations = "1048577" }, want: "more than the 1048576 that virtcast computes", wantSteps: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			password := "geheim"
			if tc.password != "" {
				password = tc.password
			}
			server := newScramServer(t, password)
			if tc.change != nil {
				tc.change(server)
			}
			m, err := Choose([]string{ScramSHA256}, Credentials{Username: "jo", Password: "geheim"}, Channel{Encrypted: true, Verified: true})
			if err != nil {
				t.Fatal(err)
			}
			err = Authenticate(t.Context(), m, server)
			switch {
			case tc.want == "" && tc.wantErr == nil:
				if err != nil || !m.Done() {
					t.Errorf("got %v, done %v, want success", err, m.Done())
				}
			case err == nil || !strings.Contains(err.Error(), tc.want) || (tc.wantErr != nil && !errors.Is(err, tc.wantErr)):
				t.Errorf("got %v, want %v that says %q", err, tc.wantErr, tc.want)
			case m.Done():
				t.Error("the mechanism says done after a failure")
			case len(err.Error()) > 1024 || strings.Contains(err.Error(), "\n"):
				t.Errorf("%d bytes of error, want one bounded line", len(err.Error()))
			}
			if server.steps != tc.wantSteps {
				t.Errorf("got %d messages, want %d", server.steps, tc.wantSteps)
			}
		})
	}
}

// script is a daemon that gives prepared answers.
type script struct {
	replies []Reply
	sent    []string
}

func (s *script) SASLStart(ctx context.Context, mechanism string, data []byte, has bool) (Reply, error) {
	s.sent = append(s.sent, mechanism)
	return s.SASLStep(ctx, data, has)
}

func (s *script) SASLStep(_ context.Context, data []byte, has bool) (Reply, error) {
	if has {
		s.sent = append(s.sent, string(data))
	}
	if len(s.replies) == 0 {
		return Reply{}, io.ErrUnexpectedEOF
	}
	reply := s.replies[0]
	s.replies = s.replies[1:]
	return reply, nil
}

func TestAuthenticatePlain(t *testing.T) {
	tests := map[string]struct {
		creds   Credentials
		replies []Reply
		message string
		want    string
	}{
		"good":        {Credentials{Username: "jo", Password: "geheim"}, []Reply{{Complete: true}}, "\x00jo\x00geheim", ""},
		"for another": {Credentials{Username: "jo", Password: "geheim", AuthorizeAs: "al"}, []Reply{{Complete: true}}, "al\x00jo\x00geheim", ""},
		"challenged":  {Credentials{Username: "jo"}, []Reply{{Has: true}}, "\x00jo\x00", "which PLAIN does not have"},
		"lost":        {Credentials{Username: "jo"}, nil, "\x00jo\x00", "unexpected EOF"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := Choose([]string{Plain}, tc.creds, Channel{Encrypted: true, Verified: true})
			if err != nil {
				t.Fatal(err)
			}
			peer := &script{replies: tc.replies}
			err = Authenticate(t.Context(), m, peer)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if got := strings.Join(peer.sent, "|"); got != "PLAIN|"+tc.message {
				t.Errorf("sent %q, want %q", got, "PLAIN|"+tc.message)
			}
		})
	}
}

// endless is a mechanism that always has something to say.
type endless struct{}

func (endless) Name() string                      { return "ENDLESS" }
func (endless) Start() ([]byte, bool, error)      { return nil, false, nil }
func (endless) Step([]byte) ([]byte, bool, error) { return nil, true, nil }
func (endless) Done() bool                        { return false }

func TestAuthenticateIsBounded(t *testing.T) {
	peer := &script{replies: make([]Reply, 100)}
	err := Authenticate(t.Context(), endless{}, peer)
	if err == nil || !strings.Contains(err.Error(), "did not end after 8 messages") {
		t.Errorf("got %v, want the bound", err)
	}
	if got := 100 - len(peer.replies); got != maxRounds+1 {
		t.Errorf("got %d messages, want %d", got, maxRounds+1)
	}
}
