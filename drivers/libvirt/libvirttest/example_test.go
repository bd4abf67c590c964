package libvirttest_test

import (
	"fmt"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

func Example() {
	s := libvirttest.NewServer(libvirttest.Options{Flavor: libvirttest.FlavorQEMU})
	defer s.Close()

	conn := s.Pipe() // what a driver's Dial returns
	defer func() { _ = conn.Close() }()
	frames := wire.NewReader(conn)
	call := func(procedure int32, args wire.Encoder) {
		h := wire.Header{Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: procedure}
		_, _ = conn.Write(wire.AppendFrame(nil, h, args.Payload()))
		_, _, _ = frames.Next()
	}
	var open, register wire.Encoder
	open.OptionalString(s.URI())
	open.Uint32(wire.OpenReadOnly)
	call(wire.ProcConnectOpen, open)
	register.Int32(0) // lifecycle
	register.Null()   // of every domain
	call(wire.ProcDomainEventRegisterAny, register)

	web, _ := s.Define("web-1", schema.UUID{1})
	_ = web.Start()
	_ = web.Destroy()
	for range 5 {
		_, payload, _ := frames.Next()
		d := wire.NewDecoder(payload)
		m := d.LifecycleMessage()
		fmt.Println(m.Domain.Name, m.Event, m.Detail)
	}
	// Output:
	// web-1 0 0
	// web-1 4 0
	// web-1 2 0
	// web-1 6 2
	// web-1 5 1
}

// A daemon that refuses a call, as one does that is out of memory.
func ExampleServer_ErrorFor() {
	s := libvirttest.NewServer(libvirttest.Options{})
	defer s.Close()
	s.ErrorFor(wire.ProcConnectGetHostname, wire.CodeSystemError, "cannot allocate memory")

	conn := s.Pipe()
	defer func() { _ = conn.Close() }()
	h := wire.Header{Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: wire.ProcConnectGetHostname}
	_, _ = conn.Write(wire.AppendFrame(nil, h, nil))
	answer, payload, _ := wire.NewReader(conn).Next()
	d := wire.NewDecoder(payload)
	fmt.Println(answer.Status == wire.StatusError, d.RemoteError())
	// Output: true cannot allocate memory (code 38)
}
