// Package libvirttest is an in-process libvirtd that speaks the real RPC: to libvirt what
// net/http/httptest is to HTTP. A [Server] serves unix and TCP listeners or connections
// in memory; its domains are driven from Go and emit the events that the real drivers
// emit.
//
//	s := libvirttest.NewServer(libvirttest.Options{Flavor: libvirttest.FlavorQEMU})
//	defer s.Close()
//	conn := s.Pipe()                       // or s.Listen("unix", path)
//	web, _ := s.Define("web-1", uuid)      // Defined Added
//	_ = web.Start()                        // Resumed Unpaused, Started Booted
//
// Beside domains there are faults ([Server.Cut], [Client.Stall],
// [Server.EventBeforeReply], …), a [Server.Firehose] for benchmarks and soak, and a
// [Server.Scenario] that lives through realistic lifecycles.
//
// # Differences from libvirtd 9.0.0
//
// What a client of events can observe is the same, and the package's tests run against
// both. The known differences:
//
//  1. What waits for a client is bounded (Options.MaxQueue), and a client that is behind
//     by more is cut off. libvirtd has no bound.
//  2. Calls are answered in order, unless Server.DelayReplies says otherwise; libvirtd
//     answers pipelined calls in any order.
//  3. Callback ids and domain ids go on counting for the life of the server, and domains
//     stay as they are when the last connection closes. libvirtd's test driver starts
//     again from 1.
//  4. Domains are listed by age; libvirtd lists them in no order.
//  5. A procedure that is not known here is refused as unknown (code 39) even if libvirtd
//     has it. Of the calls that change domains, create, destroy, suspend, resume,
//     shutdown and undefine work; the other ones in the table answer code 3.
//  6. A length word of 4 to 27 closes the connection at once, not when that many bytes
//     have come. A discriminant or boolean other than 0 and 1 cannot be decoded; libvirtd
//     takes it for 1.
//  7. The flavor for QEMU emits lifecycle events only: no migration-iteration,
//     job-completed, reboot and so on. [Server.EmitEvent] sends whatever a test needs.
//  8. OPEN knows one URI, and no default one. SASL never succeeds.
//  9. A domain's state changes together with its event. libvirtd sends Stopped of an
//     emulator that ended by itself before it lists the domain as shut off.
//  10. A close callback (procedure 360) is accepted and never called, as libvirtd's test
//     and QEMU drivers do.
package libvirttest
