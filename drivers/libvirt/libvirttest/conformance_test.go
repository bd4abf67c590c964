package libvirttest

import (
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

var update = flag.Bool("update", false, "write the answers of the real libvirtd to testdata")

// scripts are played against libvirtd and against a Server; both must give the answers in
// testdata, to the byte.
var scripts = []struct {
	name string
	play func(*script)
}{
	{"handshake", playHandshake},
	{"registrations", playRegistrations},
	{"lists", playLists},
	{"lifecycles", playLifecycles},
	{"calls", playCalls},
	{"readonly", playReadOnly},
	{"framing", playFraming},
	{"ends", playEnds},
}

func TestConformanceServer(t *testing.T) {
	for _, sc := range scripts {
		t.Run(sc.name, func(t *testing.T) {
			s := newScript(t, newInProcess(t))
			sc.play(s)
			if diff := cmp.Diff(golden(t, sc.name), s.lines.String()); diff != "" {
				t.Errorf("differs from libvirtd (-libvirtd +server):\n%s", diff)
			}
		})
	}
}

func TestConformanceLibvirtd(t *testing.T) {
	for _, sc := range scripts {
		t.Run(sc.name, func(t *testing.T) {
			s := newScript(t, newRealDaemon(t))
			sc.play(s)
			if *update {
				if err := os.WriteFile(filepath.Join("testdata", sc.name+".txt"), []byte(s.lines.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(golden(t, sc.name), s.lines.String()); diff != "" {
				t.Errorf("libvirtd differs from what was recorded (-recorded +libvirtd):\n%s", diff)
			}
		})
	}
}

var testDomain = schema.Object{UUID: TestDomainUUID, Name: "test", ID: 1}

func playHandshake(s *script) {
	s.connect("a", -1)
	s.call("a", "list before open", wire.ProcConnectListAllDomains, 1, 0)
	s.call("a", "register before open", wire.ProcDomainEventRegisterAny, 0, 0)
	s.call("a", "keepalive before open", wire.ProcConnectSupportsFeature, 10)
	s.call("a", "feature 14 before open", wire.ProcConnectSupportsFeature, 14)
	s.call("a", "open an unknown driver", wire.ProcConnectOpen, "bogus:///x"+optional, 0)
	s.call("a", "open half", wire.ProcConnectOpen, 1)
	s.call("a", "open", wire.ProcConnectOpen, "test:///default"+optional, 0)
	s.call("a", "type", wire.ProcConnectGetType)
	s.call("a", "version", wire.ProcConnectGetVersion)
	s.call("a", "lib version", wire.ProcConnectGetLibVersion)
	s.call("a", "uri", wire.ProcConnectGetURI)
	for feature := range 25 {
		s.call("a", "feature", wire.ProcConnectSupportsFeature, feature)
	}
	s.call("a", "register close callback", wire.ProcConnectRegisterClose)
	s.call("a", "and again", wire.ProcConnectRegisterClose)
	s.call("a", "unregister close callback", wire.ProcConnectUnregisterClose)
	s.call("a", "and again", wire.ProcConnectUnregisterClose)
	s.call("a", "open again", wire.ProcConnectOpen, "test:///default"+optional, 0)
	s.call("a", "type", wire.ProcConnectGetType)
	s.call("a", "open once more", wire.ProcConnectOpen, "test:///default?x=1"+optional, 0xf0)
	s.call("a", "uri", wire.ProcConnectGetURI)
}

func playRegistrations(s *script) {
	s.connect("a", 0)
	s.connect("b", 1)
	for id := range 27 {
		s.call("a", "register", wire.ProcDomainEventRegisterAny, id, 0)
	}
	for _, id := range []int{27, 1000, -1} {
		s.call("a", "register", wire.ProcDomainEventRegisterAny, id, 0)
	}
	s.call("a", "register again", wire.ProcDomainEventRegisterAny, 0, 0)
	s.call("a", "register for test", wire.ProcDomainEventRegisterAny, 0, 1, testDomain)
	s.call("a", "register again by another name", wire.ProcDomainEventRegisterAny, 0, 1, "zz", TestDomainUUID, -1)
	s.call("a", "register for one that is not there", wire.ProcDomainEventRegisterAny, 0, 1, "zz", scriptUUID("t1"), -1)
	s.call("a", "register half", wire.ProcDomainEventRegisterAny, 0)
	s.call("a", "register without domain", wire.ProcDomainEventRegisterAny, 0, 1)
	s.call("a", "register a long name", wire.ProcDomainEventRegisterAny, 0, 1, 5_000_000)
	s.call("b", "register", wire.ProcDomainEventRegisterAny, 0, 0)
	s.call("b", "deregister another's", wire.ProcDomainEventDeregisterAny, 0)
	s.change(2, []string{"a"}, "suspend", "test") // two registrations cover it
	s.receive("b", 1)
	s.change(2, []string{"a"}, "define", "t1")
	s.receive("b", 1)
	s.call("a", "deregister", wire.ProcDomainEventDeregisterAny, 0)
	s.call("a", "deregister again", wire.ProcDomainEventDeregisterAny, 0)
	s.call("a", "deregister -1", wire.ProcDomainEventDeregisterAny, -1)
	s.call("a", "deregister nothing", wire.ProcDomainEventDeregisterAny)
	s.change(1, []string{"a", "b"}, "resume", "test")
	s.call("a", "register again", wire.ProcDomainEventRegisterAny, 0, 0)
	s.call("b", "register for t1", wire.ProcDomainEventRegisterAny, 0, 1, "t1", scriptUUID("t1"), -1)
	s.change(2, []string{"a", "b"}, "start", "t1")
	s.change(2, []string{"a", "b"}, "destroy", "t1")
	s.change(2, []string{"a", "b"}, "undefine", "t1")
	s.change(2, []string{"a", "b"}, "create", "t1")
	s.change(2, []string{"a", "b"}, "destroy", "t1")
	s.quiet("a", "b")
}

func playLists(s *script) {
	s.connect("a", 0)
	s.call("a", "count", wire.ProcConnectListAllDomains, 0, 0)
	s.call("a", "half", wire.ProcConnectListAllDomains, 1)
	s.call("a", "more than is asked", wire.ProcConnectListAllDomains, 1, 0, 7)
	s.call("a", "unknown flag", wire.ProcConnectListAllDomains, 1, 1<<20)
	for _, state := range []string{"running", "paused", "shutoff", "transient"} {
		switch state {
		case "paused":
			s.change(0, nil, "suspend", "test")
		case "shutoff":
			s.change(0, nil, "managedsave", "test")
		case "transient":
			s.change(0, nil, "start", "test")
			s.change(0, nil, "undefine", "test")
		}
		for bit := range 14 {
			s.call("a", state+" list", wire.ProcConnectListAllDomains, 1, 1<<bit)
		}
		for _, flags := range []int{0, 3, 12, 1 | 32, 2 | 64, 16 | 32 | 64 | 128} {
			s.call("a", state+" list", wire.ProcConnectListAllDomains, 1, flags)
			s.call("a", state+" stats", wire.ProcConnectGetAllDomainStats, 0, 1, flags)
		}
		s.call("a", state+" state", wire.ProcDomainGetState, testDomain, 0)
	}
	s.call("a", "state with a flag", wire.ProcDomainGetState, testDomain, 1)
	s.call("a", "state by another name", wire.ProcDomainGetState, "zz", TestDomainUUID, 9, 0)
	s.call("a", "state of nothing", wire.ProcDomainGetState, "zz", scriptUUID("zz"), 9, 0)
	s.call("a", "all stats", wire.ProcConnectGetAllDomainStats, 0, 0, 0)
	s.call("a", "stats, no wait", wire.ProcConnectGetAllDomainStats, 0, 1, 1<<29)
	s.call("a", "stats, unknown", wire.ProcConnectGetAllDomainStats, 0, 1<<20, 0)
	s.call("a", "stats, unknown, enforced", wire.ProcConnectGetAllDomainStats, 0, 1<<20, 1<<31)
	s.call("a", "stats, unknown flag", wire.ProcConnectGetAllDomainStats, 0, 1, 1<<20)
	s.call("a", "stats of test", wire.ProcConnectGetAllDomainStats, 1, testDomain, 1, 0)
	s.call("a", "stats of nothing too", wire.ProcConnectGetAllDomainStats, 2, testDomain, "zz", scriptUUID("zz"), -1, 1, 0)
	s.call("a", "look up name", procDomainLookupByName, "test")
	s.call("a", "look up no name", procDomainLookupByName, "zz")
	s.call("a", "look up uuid", procDomainLookupByUUID, TestDomainUUID)
	s.call("a", "look up no uuid", procDomainLookupByUUID, scriptUUID("zz"))
	s.call("a", "look up id", procDomainLookupByID, 2)
	s.call("a", "look up no id", procDomainLookupByID, 77)
}

// playLifecycles does everything that the test driver can do to domains.
func playLifecycles(s *script) {
	s.connect("a", 1)
	s.call("a", "register", wire.ProcDomainEventRegisterAny, 0, 0)
	steps := []struct {
		events  int
		command []string
	}{
		{1, []string{"suspend", "test"}},
		{1, []string{"resume", "test"}},
		{1, []string{"shutdown", "test"}},
		{1, []string{"start", "test"}},
		{1, []string{"suspend", "test"}},
		{1, []string{"destroy", "test"}},
		{1, []string{"start", "test"}},
		{1, []string{"managedsave", "test"}},
		{1, []string{"start", "test"}},
		{1, []string{"crash", "test"}},
		{1, []string{"start", "test"}},
		{1, []string{"define", "t1"}},
		{1, []string{"define", "t1"}},
		{1, []string{"start", "t1"}},
		{1, []string{"define", "t1"}},
		{1, []string{"destroy", "t1"}},
		{2, []string{"domrename", "t1", "t2"}},
		{2, []string{"domrename", "t2", "t1"}},
		{1, []string{"start", "t1"}},
		{1, []string{"undefine", "t1"}},
		{1, []string{"destroy", "t1"}},
		{1, []string{"create", "t2"}},
		{1, []string{"define", "t2"}},
		{1, []string{"undefine", "t2"}},
		{1, []string{"suspend", "t2"}},
		{1, []string{"shutdown", "t2"}},
		{1, []string{"create", "t2"}},
		{1, []string{"destroy", "t2"}},
		{1, []string{"define", "t3"}},
		{1, []string{"create", "t3"}},
		{1, []string{"save", "t3", "image"}},
		{1, []string{"undefine", "t3"}},
		{1, []string{"restore", "image"}},
		{1, []string{"save", "t3", "image"}},
		{1, []string{"restore", "image"}},
		{1, []string{"crash", "t3"}},
		{1, []string{"undefine", "test"}},
		{1, []string{"destroy", "test"}},
	}
	for _, step := range steps {
		s.change(step.events, []string{"a"}, step.command[0], step.command[1:]...)
		s.states("a")
	}
	s.quiet("a")
}

// playCalls changes domains over the wire.
func playCalls(s *script) {
	s.connect("a", 0)
	s.call("a", "suspend", wire.ProcDomainSuspend, testDomain)
	s.call("a", "suspend again", wire.ProcDomainSuspend, testDomain)
	s.call("a", "resume", procDomainResume, testDomain)
	s.call("a", "resume again", procDomainResume, testDomain)
	s.call("a", "start a running one", procDomainCreate, testDomain)
	s.call("a", "shutdown", procDomainShutdown, testDomain)
	s.call("a", "shutdown again", procDomainShutdown, testDomain)
	s.call("a", "suspend when off", wire.ProcDomainSuspend, testDomain)
	s.call("a", "resume when off", procDomainResume, testDomain)
	s.call("a", "destroy when off", procDomainDestroy, testDomain)
	s.call("a", "start", procDomainCreate, testDomain)
	s.call("a", "destroy", procDomainDestroy, testDomain)
	s.call("a", "start nothing", procDomainCreate, "zz", scriptUUID("zz"), -1)
	s.call("a", "suspend half", wire.ProcDomainSuspend, "test")
	s.call("a", "undefine", procDomainUndefine, testDomain)
	s.call("a", "state", wire.ProcDomainGetState, testDomain, 0)
}

func playReadOnly(s *script) {
	s.connect("a", 1)
	for _, procedure := range []int32{
		procDomainCreate, procDomainDestroy, procDomainResume, procDomainShutdown, wire.ProcDomainSuspend, procDomainUndefine,
	} {
		s.call("a", "forbidden", procedure, testDomain)
	}
	for _, procedure := range []int32{
		procDomainCreateFlags, procDomainReboot, procDomainDestroyFlags, procDomainShutdownFlags, procDomainUndefineFlags,
	} {
		s.call("a", "forbidden", procedure, testDomain, 0)
	}
	s.call("a", "create", procDomainCreateXML, "<domain/>", 0)
	s.call("a", "define", procDomainDefineXML, "<domain/>")
	s.callHeader("a", "monitor events", wire.Header{Program: wire.ProgramQEMU, Version: 1, Procedure: 4, Serial: 3}, 0, 0, 0, 0)
	s.call("a", "list", wire.ProcConnectListAllDomains, 1, 0)
	s.connect("b", 0)
	s.callHeader("b", "monitor events", wire.Header{Program: wire.ProgramQEMU, Version: 1, Procedure: 4, Serial: 3}, 0, 0, 0, 0)
}

func playFraming(s *script) {
	s.connect("a", 0)
	for _, procedure := range []int32{9999, 0, -1, wire.ProcDomainEventLifecycle} {
		s.call("a", "unknown procedure", procedure)
	}
	remote := wire.Header{Program: wire.ProgramRemote, Version: 1, Procedure: wire.ProcConnectGetType, Serial: 5}
	with := func(change func(*wire.Header)) wire.Header {
		h := remote
		change(&h)
		return h
	}
	s.callHeader("a", "unknown program", with(func(h *wire.Header) { h.Program = 0x12345678 }))
	s.callHeader("a", "another version", with(func(h *wire.Header) { h.Version = 2 }))
	s.callHeader("a", "status error", with(func(h *wire.Header) { h.Status = wire.StatusError }))
	s.callHeader("a", "status continue", with(func(h *wire.Header) { h.Status = wire.StatusContinue }))
	s.callHeader("a", "serial 0", with(func(h *wire.Header) { h.Serial = 0 }))
	s.callHeader("a", "the highest serial", with(func(h *wire.Header) { h.Serial = 1<<32 - 1 }))
	s.callHeader("a", "keepalive as a call", with(func(h *wire.Header) { h.Program, h.Procedure = wire.ProgramKeepalive, 1 }))
	for _, kind := range []wire.MessageType{wire.TypeReply, wire.TypeMessage, wire.TypeStream, wire.TypeStreamHole, 9} {
		s.send("a", wire.AppendFrame(nil, with(func(h *wire.Header) { h.Type = kind }), nil))
		s.call("a", "after one that is no call", wire.ProcConnectGetType)
	}
	pings := []wire.Header{
		keepaliveHeader(wire.ProcKeepalivePing),
		{Program: wire.ProgramKeepalive, Version: 1, Procedure: 1, Type: wire.TypeMessage, Serial: 9},
	}
	for _, h := range pings {
		s.send("a", wire.AppendFrame(nil, h, nil))
		s.receive("a", 1)
	}
	s.send("a", wire.AppendFrame(nil, keepaliveHeader(wire.ProcKeepalivePong), nil))
	s.send("a", wire.AppendFrame(nil, keepaliveHeader(3), nil))
	s.call("a", "still here", wire.ProcConnectGetType)
	s.quiet("a")
}

func playEnds(s *script) {
	s.connect("a", 0)
	s.call("a", "close", wire.ProcConnectClose)
	s.receive("a", 1)
	s.connect("b", -1)
	s.call("b", "close before open", wire.ProcConnectClose)
	s.receive("b", 1)
	for _, length := range []uint32{0, wire.MaxFrame + 1, 1<<32 - 1} {
		s.connect("c", 0)
		s.send("c", binary.BigEndian.AppendUint32(nil, length))
		s.receive("c", 1)
	}
	s.connect("d", 0)
	s.send("d", wire.AppendFrame(nil, wire.Header{
		Program: wire.ProgramRemote, Version: 1, Procedure: wire.ProcConnectGetType, Type: wire.TypeCallWithFDs,
	}, nil))
	s.receive("d", 1)
}
