package libvirttest

import (
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// Procedures that no event client calls.
const (
	procDomainCreate        int32 = 9
	procDomainCreateXML     int32 = 10
	procDomainDefineXML     int32 = 11
	procDomainDestroy       int32 = 12
	procDomainLookupByID    int32 = 22
	procDomainLookupByName  int32 = 23
	procDomainLookupByUUID  int32 = 24
	procDomainReboot        int32 = 27
	procDomainResume        int32 = 28
	procDomainShutdown      int32 = 33
	procDomainUndefine      int32 = 35
	procDomainCreateFlags   int32 = 196
	procDomainUndefineFlags int32 = 231
	procDomainDestroyFlags  int32 = 234
	procDomainShutdownFlags int32 = 258
	featureFDPassing        int32 = 8
	featureTypedParamString int32 = 9
	featureCloseCallback    int32 = 15
	featureSixteen          int32 = 16
)

// procedures is the table of calls. It is read only.
var procedures = map[int32]procedure{
	wire.ProcAuthList:               {serve: authList, anyone: true},
	wire.ProcAuthPolkit:             {serve: authPolkit, anyone: true},
	wire.ProcAuthSASLInit:           {serve: authSASL, anyone: true},
	wire.ProcAuthSASLStart:          {serve: authSASL, anyone: true},
	wire.ProcAuthSASLStep:           {serve: authSASL, anyone: true},
	wire.ProcConnectOpen:            {serve: connectOpen},
	wire.ProcConnectClose:           {serve: connectClose},
	wire.ProcConnectSupportsFeature: {serve: supportsFeature},

	wire.ProcConnectGetType: opened(noArgs, func(c *Client, _ struct{}) ([]byte, *wire.RemoteError) {
		return encodeString(c.server.opts.Flavor.typeName()), nil
	}),
	wire.ProcConnectGetVersion: opened(noArgs, func(c *Client, _ struct{}) ([]byte, *wire.RemoteError) {
		return encodeUint64(c.server.opts.Version), nil
	}),
	wire.ProcConnectGetLibVersion: opened(noArgs, func(c *Client, _ struct{}) ([]byte, *wire.RemoteError) {
		return encodeUint64(c.server.opts.LibVersion), nil
	}),
	wire.ProcConnectGetHostname: opened(noArgs, func(c *Client, _ struct{}) ([]byte, *wire.RemoteError) {
		return encodeString(c.server.opts.Hostname), nil
	}),
	wire.ProcConnectGetURI: opened(noArgs, func(c *Client, _ struct{}) ([]byte, *wire.RemoteError) {
		return encodeString(c.openURI), nil
	}),
	wire.ProcConnectRegisterClose:   opened(noArgs, nothing[struct{}]),
	wire.ProcConnectUnregisterClose: opened(noArgs, nothing[struct{}]),

	wire.ProcDomainEventRegisterAny:   opened(decodeRegister, registerAny),
	wire.ProcDomainEventDeregisterAny: opened((*wire.Decoder).Int32, deregisterAny),

	wire.ProcConnectListAllDomains:    opened(decodeList, listAllDomains),
	wire.ProcDomainGetState:           opened(decodeDomainFlags, domainGetState),
	wire.ProcConnectGetAllDomainStats: opened(decodeStats, getAllDomainStats),
	procDomainLookupByID:              opened((*wire.Decoder).Int32, lookupByID),
	procDomainLookupByName:            opened((*wire.Decoder).String, lookupByName),
	procDomainLookupByUUID:            opened((*wire.Decoder).UUID, lookupByUUID),

	procDomainCreate:        changing("virDomainCreate", decodeDomain, (*Domain).start),
	procDomainCreateFlags:   changing("virDomainCreateWithFlags", decodeDomainFlags, nil),
	procDomainCreateXML:     changing("virDomainCreateXML", noDomain, nil),
	procDomainDefineXML:     changing("virDomainDefineXML", noDomain, nil),
	procDomainReboot:        changing("virDomainReboot", decodeDomainFlags, nil),
	procDomainDestroy:       changing("virDomainDestroy", decodeDomain, (*Domain).destroy),
	procDomainDestroyFlags:  changing("virDomainDestroyFlags", decodeDomainFlags, nil),
	procDomainResume:        changing("virDomainResume", decodeDomain, (*Domain).resume),
	procDomainShutdown:      changing("virDomainShutdown", decodeDomain, (*Domain).shutdown),
	procDomainShutdownFlags: changing("virDomainShutdownFlags", decodeDomainFlags, nil),
	wire.ProcDomainSuspend:  changing("virDomainSuspend", decodeDomain, (*Domain).suspend),
	procDomainUndefine:      changing("virDomainUndefine", decodeDomain, (*Domain).undefine),
	procDomainUndefineFlags: changing("virDomainUndefineFlags", decodeDomainFlags, nil),
}

func encodeString(v string) []byte {
	var e wire.Encoder
	e.String(v)
	return e.Payload()
}

func encodeUint64(v uint64) []byte {
	var e wire.Encoder
	e.Uint64(v)
	return e.Payload()
}

func encodeInt32(v ...int32) []byte {
	var e wire.Encoder
	for _, n := range v {
		e.Int32(n)
	}
	return e.Payload()
}

func nothing[A any](*Client, A) ([]byte, *wire.RemoteError) { return nil, nil }

func authList(c *Client, _ *wire.Decoder) ([]byte, *wire.RemoteError) {
	auth := c.server.opts.Auth
	return encodeInt32(append([]int32{int32(len(auth))}, auth...)...), nil
}

func authPolkit(c *Client, _ *wire.Decoder) ([]byte, *wire.RemoteError) {
	for _, auth := range c.server.opts.Auth {
		if auth == wire.AuthPolkit {
			c.authenticated = true
			return encodeInt32(1), nil
		}
	}
	return nil, authFailed()
}

func authSASL(*Client, *wire.Decoder) ([]byte, *wire.RemoteError) { return nil, authFailed() }

func authFailed() *wire.RemoteError {
	return remoteError(wire.CodeAuthFailed, fromRPC, "authentication failed: %s", "authentication failed")
}

// connectOpen remembers the name as it was asked for: that is what GET_URI returns. A
// second open fails and closes what was open.
func connectOpen(c *Client, d *wire.Decoder) ([]byte, *wire.RemoteError) {
	name, _ := d.OptionalString()
	flags := d.Uint32()
	if d.Err() != nil {
		return nil, errDecode
	}
	if c.open {
		c.open = false
		return nil, internalError(fromRPC, "connection already open")
	}
	if name == "" {
		return nil, internalError(fromRPC, "connection not open")
	}
	if !c.server.opens(name) {
		return nil, remoteError(wire.CodeNoConnect, fromNone, "no connection driver available for %s", "%s", name)
	}
	c.open, c.openURI, c.readOnly = true, name, flags&wire.OpenReadOnly != 0
	return nil, nil
}

func connectClose(*Client, *wire.Decoder) ([]byte, *wire.RemoteError) { return nil, nil }

// supportsFeature answers as 9.0 does. Keepalive is the one feature that may be asked for
// before OPEN.
func supportsFeature(c *Client, d *wire.Decoder) ([]byte, *wire.RemoteError) {
	feature := d.Int32()
	if d.Err() != nil {
		return nil, errDecode
	}
	if feature == wire.FeatureKeepalive {
		c.startKeepalive()
		return encodeInt32(1), nil
	}
	if !c.open {
		return nil, errNotOpen
	}
	switch feature {
	case featureFDPassing, featureTypedParamString, wire.FeatureRemoteEventCallback, featureCloseCallback, featureSixteen:
		return encodeInt32(1), nil
	}
	return encodeInt32(0), nil
}

type registerArgs struct {
	eventID int32
	filter  *schema.UUID
}

func decodeRegister(d *wire.Decoder) registerArgs {
	args := registerArgs{eventID: d.Int32()}
	if d.Bool() {
		uuid := d.Domain().UUID // nothing else of it counts
		args.filter = &uuid
	}
	return args
}

func registerAny(c *Client, args registerArgs) ([]byte, *wire.RemoteError) {
	id, fault := c.register(args.eventID, args.filter)
	if fault != nil {
		return nil, fault
	}
	c.emitEarly(args.eventID)
	return encodeInt32(id), nil
}

func deregisterAny(c *Client, id int32) ([]byte, *wire.RemoteError) { return nil, c.deregister(id) }

type domainFlags struct {
	domain schema.Object
	flags  uint32
}

func decodeDomainFlags(d *wire.Decoder) domainFlags {
	return domainFlags{d.Domain(), d.Uint32()}
}

func decodeDomain(d *wire.Decoder) domainFlags { return domainFlags{domain: d.Domain()} }

// noDomain leaves the arguments alone: a definition in XML, which is not read here.
func noDomain(*wire.Decoder) domainFlags { return domainFlags{} }

// changing is a call that changes a domain: refused to read-only clients, and to
// everybody if do is nil.
func changing(function string, decode func(*wire.Decoder) domainFlags, do func(*Domain, Flavor) error) procedure {
	return opened(decode, func(c *Client, args domainFlags) ([]byte, *wire.RemoteError) {
		s := c.server
		if c.readOnly {
			return nil, readOnlyError(fromDomain, function)
		}
		if do == nil {
			return nil, noSupport(fromNone, function)
		}
		d, ok := s.byUUID[args.domain.UUID]
		if !ok {
			return nil, noMatchingDomain(s.opts.Flavor.origin(), args.domain)
		}
		return nil, asRemoteError(do(d, s.opts.Flavor))
	})
}
