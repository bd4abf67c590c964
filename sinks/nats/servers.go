package nats

import (
	"cmp"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxAnnounced bounds how many servers are remembered that only a server has named.
const maxAnnounced = 32

// member is one server of a cluster that the sink may connect to.
type member struct {
	url *url.URL // with the credentials, if the configured URL holds any
	// announced is set for a server that is not configured, but was named by one.
	announced bool
	// secure is set when the server that named this one was connected by TLS. tlsName is
	// then the name for this one's certificate, where its URL holds an address only.
	secure  bool
	tlsName string
	// failures counts the attempts since events were last stored through this server.
	failures int
}

// servers are the servers of a cluster: those that are configured, and those that the
// cluster has announced. The latter make one configured URL enough.
type servers struct {
	mu   sync.Mutex // guards what follows
	list []member
}

// newServers returns the servers of a valid list of URLs, in random order, so that many
// clients of one cluster spread over it.
func newServers(urls string) *servers {
	s := &servers{}
	for text := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil {
			s.list = append(s.list, member{url: u})
		}
	}
	rand.Shuffle(len(s.list), func(i, j int) { s.list[i], s.list[j] = s.list[j], s.list[i] })
	return s
}

// order returns the servers in the order in which they are to be tried: those that have
// failed the least, and among these the configured ones, come first.
func (s *servers) order() []member {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.list)
	slices.SortStableFunc(list, func(a, b member) int {
		if c := cmp.Compare(a.failures, b.failures); c != 0 || a.announced == b.announced {
			return c
		}
		if a.announced {
			return 1
		}
		return -1
	})
	return list
}

// note counts a failure of a server, or sets the count back.
func (s *servers) note(which *member, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		switch one := &s.list[i]; {
		case one.url.Host != which.url.Host:
		case failed:
			one.failures++
		default:
			one.failures = 0
		}
	}
}

// learn adds the servers that from has announced, as URLs. They get the credentials that
// from has in its URL. A server that is announced by its address only must have a
// certificate for the host name that led to it.
func (s *servers) learn(from *member, secure bool, announced []string) {
	name := from.tlsName
	if host := from.url.Hostname(); net.ParseIP(host) == nil {
		name = host
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range announced {
		u, err := url.Parse(text)
		if err != nil || slices.ContainsFunc(s.list, func(one member) bool { return one.url.Host == u.Host }) {
			continue
		}
		one := member{url: u, announced: true, secure: secure}
		one.url.User = from.url.User
		if secure && net.ParseIP(u.Hostname()) != nil {
			one.tlsName = name
		}
		s.forgetOne()
		s.list = append(s.list, one)
	}
}

// forgetOne makes room for an announced server where there is none: the one that has
// failed most goes.
func (s *servers) forgetOne() {
	count, worst := 0, -1
	for i := range s.list {
		if !s.list[i].announced {
			continue
		}
		if count++; worst < 0 || s.list[i].failures > s.list[worst].failures {
			worst = i
		}
	}
	if count >= maxAnnounced {
		s.list = slices.Delete(s.list, worst, worst+1)
	}
}
