package retry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Shared is an [Episode] of many parties that depend on the same thing, such as the
// connections whose events go to one disk. It begins with the first party's failure and
// ends when the last party has recovered, so that it is logged once, not once for each.
// Its methods are safe for concurrent use.
type Shared struct {
	episode *Episode

	mu      sync.Mutex // guards failing; it is taken before that of episode
	failing map[string]struct{}
}

// NewShared returns an episode that has not begun. A nil logger discards everything.
func NewShared(log *slog.Logger, m Messages) *Shared {
	return &Shared{episode: NewEpisode(log, m), failing: map[string]struct{}{}}
}

// Failed is [Episode.Failed] for one party.
func (s *Shared) Failed(ctx context.Context, party string, err error, args ...any) (begins bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[party] = struct{}{}
	return s.episode.Failed(ctx, err, args...)
}

// Recovered is [Episode.Recovered] for one party.
func (s *Shared) Recovered(ctx context.Context, party string, args ...any) (ends bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leave(party) && s.episode.Recovered(ctx, args...)
}

// Stop is [Episode.Stop] for one party, such as one that gives up.
func (s *Shared) Stop(party string) (took time.Duration, stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leave(party) {
		return 0, false
	}
	return s.episode.Stop()
}

// leave reports whether that party was the last one that was failing.
func (s *Shared) leave(party string) bool {
	if _, ok := s.failing[party]; !ok {
		return false
	}
	delete(s.failing, party)
	return len(s.failing) == 0
}

// Failures returns how many failures there were, in all episodes.
func (s *Shared) Failures() uint64 { return s.episode.Failures() }
