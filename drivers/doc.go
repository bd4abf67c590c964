// Package drivers says what a driver owes the registry; it holds no code. The
// interfaces themselves are declared where they are called: registry.Driver and
// registry.Session. Package drivertest holds every driver to this list.
//
//  1. Open returns only when the hypervisor answered: its identity is known and
//     RegisterAny may be called. It fails, it never retries: backing off is the registry's.
//  2. Connections are opened read-only. A driver has no call that changes a guest.
//  3. Observations reach the handler in the order in which the hypervisor sent
//     them, each exactly once for every callback that it was registered for, from
//     one goroutine. The handler does not block; a driver must never stop reading
//     because of what follows it. Each carries the number of its callback
//     (schema.Observation.CallbackID), and where one event comes by two callbacks,
//     one of all domains and one of its domain, the two follow each other directly.
//  4. Observations that come before the answer to the RegisterAny that they belong to are
//     delivered; those that come after DeregisterAny returned are not.
//  5. A number that the driver has no name for is passed on. A frame that it cannot
//     decode is counted and skipped while the stream is still in step; else the
//     session ends with an error.
//  6. A dead peer is noticed within the keepalive interval × count, even if it
//     never says so.
//  7. After the session is lost or closed the handler is not called again, every
//     call returns an error, and no goroutine is left.
package drivers
