package libvirttest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// target is a daemon that scripts are played against.
type target interface {
	dial(t *testing.T) net.Conn
	// change does to domains what a virsh command does.
	change(t *testing.T, verb string, args ...string)
}

// inProcess is a Server.
type inProcess struct {
	server *Server
	images map[string]*Domain
}

func newInProcess(t *testing.T) *inProcess {
	t.Helper()
	s := NewServer(Options{})
	t.Cleanup(s.Close)
	return &inProcess{server: s, images: make(map[string]*Domain)}
}

func (p *inProcess) dial(*testing.T) net.Conn { return p.server.Pipe() }

func (p *inProcess) change(t *testing.T, verb string, args ...string) {
	t.Helper()
	var err error
	switch verb {
	case "define":
		_, err = p.server.Define(args[0], scriptUUID(args[0]))
	case "create":
		_, err = p.server.Create(args[0], scriptUUID(args[0]))
	case "restore":
		err = p.images[args[0]].Restore()
	default:
		d := p.byName(t, args[0])
		err = p.changeDomain(d, verb, args[1:])
	}
	if err != nil {
		t.Fatalf("%s %q: %v", verb, args, err)
	}
}

func (p *inProcess) changeDomain(d *Domain, verb string, args []string) error {
	switch verb {
	case "save":
		p.images[args[0]] = d
		return d.Save()
	case "domrename":
		return d.Rename(args[0])
	}
	do, ok := map[string]func() error{
		"start": d.Start, "suspend": d.Suspend, "resume": d.Resume, "shutdown": d.Shutdown, "destroy": d.Destroy,
		"undefine": d.Undefine, "managedsave": d.Save, "crash": d.Crash,
	}[verb]
	if !ok {
		return fmt.Errorf("no verb %q", verb)
	}
	return do()
}

func (p *inProcess) byName(t *testing.T, name string) *Domain {
	t.Helper()
	for _, d := range p.server.Domains() {
		if d.State().Name == name {
			return d
		}
	}
	t.Fatalf("no domain %q", name)
	return nil
}

// realDaemon is a libvirtd of its own, driven with virsh.
type realDaemon struct {
	daemon *lab.Daemon
}

func newRealDaemon(t *testing.T) *realDaemon {
	t.Helper()
	return &realDaemon{lab.Libvirtd(t, lab.Options{Session: true})}
}

func (r *realDaemon) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", r.daemon.Socket())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (r *realDaemon) change(t *testing.T, verb string, args ...string) {
	t.Helper()
	switch verb {
	case "define", "create":
		xml := strings.Replace(lab.TestDomain(args[0]), "<memory", "<uuid>"+scriptUUID(args[0]).String()+"</uuid><memory", 1)
		args = []string{r.daemon.WriteXML(t, args[0], xml)}
	case "crash":
		verb, args = "dump", []string{"--crash", args[0], r.image("core")}
	case "save":
		args = []string{args[0], r.image(args[1])}
	case "restore":
		args = []string{r.image(args[0])}
	}
	r.daemon.Virsh(t, "test:///default", append([]string{verb}, args...)...)
}

func (r *realDaemon) image(name string) string { return filepath.Join(r.daemon.Dir, "guests", name) }

// scriptUUID is the UUID of the domain that a script defines by that name.
func scriptUUID(name string) schema.UUID {
	u := schema.UUID{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33, 0x84, 0x44}
	copy(u[10:], name)
	return u
}

// script plays frames and changes, and writes down what comes back.
type script struct {
	t      *testing.T
	target target
	peers  map[string]*peer
	lines  strings.Builder
	uri    string
	skip   string // what comes or does not come, by chance, and is not noted
}

func newScript(t *testing.T, target target) *script {
	t.Helper()
	return &script{t: t, target: target, uri: "test:///default", peers: make(map[string]*peer)}
}

func (s *script) note(format string, args ...any) {
	fmt.Fprintf(&s.lines, format+"\n", args...)
}

// connect makes a connection of that name, and opens the script's URI unless flags is
// negative.
func (s *script) connect(name string, flags int) {
	s.t.Helper()
	s.note("# %s connects", name)
	s.peers[name] = newPeer(s.t, s.target.dial(s.t))
	if flags >= 0 {
		s.call(name, "auth list", wire.ProcAuthList)
		s.call(name, "open", wire.ProcConnectOpen, s.uri+optional, flags)
	}
}

// optional marks a string as an optional one that is there.
const optional = "\x00optional"

// encode turns ints, strings, UUIDs and domains into XDR.
func encode(args ...any) []byte {
	var e wire.Encoder
	for _, arg := range args {
		switch v := arg.(type) {
		case int:
			e.Uint32(uint32(int64(v)))
		case string:
			if text, ok := strings.CutSuffix(v, optional); ok {
				e.OptionalString(text)
				continue
			}
			e.String(v)
		case schema.UUID:
			e.UUID(v)
		case schema.Object:
			e.Domain(v)
		}
	}
	return e.Payload()
}

func (s *script) call(name, what string, procedure int32, args ...any) {
	s.t.Helper()
	s.callHeader(name, what, wire.Header{
		Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: procedure, Serial: 7,
	}, args...)
}

func (s *script) callHeader(name, what string, h wire.Header, args ...any) {
	s.t.Helper()
	f := s.peers[name].callHeader(h, encode(args...))
	s.note("%s %s: %s", name, what, describe(f))
}

// describe writes a frame down, to the byte.
func describe(f frame) string {
	h := fmt.Sprintf("%x/%d proc %d type %d serial %d status %d", f.Program, f.Version, f.Procedure, f.Type, f.Serial, f.Status)
	switch {
	case f.Type == wire.TypeReply && f.Status == wire.StatusError:
		d := wire.NewDecoder(f.payload)
		e := d.RemoteError()
		return fmt.Sprintf("%s error %d from %d level %d %q object %v strings %q %q %q ints %d %d rest %d", h,
			e.Code, e.Domain, e.Level, e.Message, e.Object, e.Str1, e.Str2, e.Str3, e.Int1, e.Int2, d.Rest())
	case f.Type == wire.TypeMessage && f.Procedure == wire.ProcDomainEventLifecycle:
		d := wire.NewDecoder(f.payload)
		m := d.LifecycleMessage()
		return fmt.Sprintf("%s callback %d %s %s id %d event %d/%d rest %d", h,
			m.CallbackID, m.Domain.Name, m.Domain.UUID, m.Domain.ID, m.Event, m.Detail, d.Rest())
	}
	return h + " " + hex.EncodeToString(f.payload)
}

// send sends bytes as they are.
func (s *script) send(name string, b []byte) {
	s.t.Helper()
	if _, err := s.peers[name].conn.Write(b); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
}

// receive notes the next n frames, or the end of the connection.
func (s *script) receive(name string, n int) {
	s.t.Helper()
	p := s.peers[name]
	for n > 0 {
		var f frame
		var err error
		if len(p.events) > 0 {
			f, p.events = p.events[0], p.events[1:]
		} else {
			f, err = p.next()
		}
		switch {
		case errors.Is(err, io.EOF):
			s.note("%s receives the end", name)
			return
		case err != nil:
			s.t.Fatalf("%s receives %v; so far:\n%s", name, err, s.lines.String())
		case s.skip != "" && strings.Contains(describe(f), s.skip):
			continue
		}
		s.note("%s receives %s", name, describe(f))
		n--
	}
}

// quiet notes whatever else comes, so that it shows in the comparison.
func (s *script) quiet(names ...string) {
	s.t.Helper()
	for _, name := range names {
		p := s.peers[name]
		for {
			if len(p.events) > 0 {
				s.receive(name, 1)
				continue
			}
			f, err := p.nextWithin(150 * time.Millisecond)
			if err != nil {
				break
			}
			s.note("%s receives %s", name, describe(f))
		}
	}
}

// change changes a domain from elsewhere, and notes the n events that each of the peers
// is to receive.
func (s *script) change(n int, receivers []string, verb string, args ...string) {
	s.t.Helper()
	s.note("$ %s %s", verb, strings.Join(args, " "))
	s.target.change(s.t, verb, args...)
	for _, name := range receivers {
		s.receive(name, n)
	}
}

// states notes what a list of all domains and their states says, in order of name.
func (s *script) states(name string) {
	s.t.Helper()
	f := s.peers[name].call(wire.ProcConnectGetAllDomainStats, encode(0, int(wire.StatsState), 0))
	d := wire.NewDecoder(f.payload)
	found := make(map[string]string)
	for range d.Count(wire.MaxStatsRecords, 24) {
		domain := d.Domain()
		params := d.TypedParams(wire.MaxTypedParams)
		found[domain.Name] = fmt.Sprintf("%s id %d %+v", domain.UUID, domain.ID, params)
	}
	for _, domain := range []string{"p1", "p2", "t1", "t2", "t3", "test"} {
		if state, ok := found[domain]; ok {
			s.note("%s sees %s %s", name, domain, state)
		}
	}
}

// golden returns what libvirtd 9.0.0 answered to the script of that name.
func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
