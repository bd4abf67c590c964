package libvirttest

import (
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// Flags of LIST_ALL_DOMAINS and GET_ALL_DOMAIN_STATS (virConnectListAllDomainsFlags), in
// groups: a domain must fit one flag of every group of which a flag is set.
const (
	listActive      uint32 = 1 << 0
	listInactive    uint32 = 1 << 1
	listPersistent  uint32 = 1 << 2
	listTransient   uint32 = 1 << 3
	listRunning     uint32 = 1 << 4
	listPaused      uint32 = 1 << 5
	listShutoff     uint32 = 1 << 6
	listOther       uint32 = 1 << 7
	listSaved       uint32 = 1 << 8
	listNotSaved    uint32 = 1 << 9
	listAutostart   uint32 = 1 << 10
	listNoAutostart uint32 = 1 << 11
	listSnapshot    uint32 = 1 << 12
	listNoSnapshot  uint32 = 1 << 13
	listCheckpoint  uint32 = 1 << 14
	listNoCheckpnt  uint32 = 1 << 15
	listEvery       uint32 = 1<<16 - 1

	statsEnforce uint32 = 1 << 31
	statsBacking uint32 = 1 << 30
)

// listed returns the flags that the domain fits.
func (d *Domain) listed() uint32 {
	pick := func(condition bool, yes, no uint32) uint32 {
		if condition {
			return yes
		}
		return no
	}
	flags := pick(d.active(), listActive, listInactive) |
		pick(d.persistent, listPersistent, listTransient) |
		pick(d.saved, listSaved, listNotSaved) |
		listNoAutostart | listNoSnapshot | listNoCheckpnt
	switch d.state {
	case stateRunning:
		flags |= listRunning
	case statePaused:
		flags |= listPaused
	case stateShutoff:
		flags |= listShutoff
	default:
		flags |= listOther
	}
	return flags
}

var listGroups = []uint32{
	listActive | listInactive,
	listPersistent | listTransient,
	listRunning | listPaused | listShutoff | listOther,
	listSaved | listNotSaved,
	listAutostart | listNoAutostart,
	listSnapshot | listNoSnapshot,
	listCheckpoint | listNoCheckpnt,
}

func (d *Domain) fits(flags uint32) bool {
	has := d.listed()
	for _, group := range listGroups {
		if want := flags & group; want != 0 && want&has == 0 {
			return false
		}
	}
	return true
}

type listArgs struct {
	results bool
	flags   uint32
}

func decodeList(d *wire.Decoder) listArgs {
	return listArgs{d.Int32() != 0, d.Uint32()}
}

func listAllDomains(c *Client, args listArgs) ([]byte, *wire.RemoteError) {
	f := c.server.opts.Flavor
	if unknown := args.flags &^ listEvery; unknown != 0 {
		return nil, unsupportedFlags(f.origin(), unknown, f.function("ConnectListAllDomains"))
	}
	var found []schema.Object
	for _, d := range c.server.domains {
		if d.fits(args.flags) {
			found = append(found, d.domain)
		}
	}
	if len(found) > wire.MaxDomainList && args.results {
		return nil, internalError(fromRPC, "Too many domains '%d' for limit '%d'", len(found), wire.MaxDomainList)
	}
	var e wire.Encoder
	if !args.results {
		e.Uint32(0)
	} else {
		e.Uint32(uint32(len(found)))
		for _, d := range found {
			e.Domain(d)
		}
	}
	e.Uint32(uint32(len(found)))
	return e.Payload(), nil
}

func domainGetState(c *Client, args domainFlags) ([]byte, *wire.RemoteError) {
	f := c.server.opts.Flavor
	if args.flags != 0 {
		return nil, unsupportedFlags(f.origin(), args.flags, f.function("DomainGetState"))
	}
	d, ok := c.server.byUUID[args.domain.UUID]
	if !ok {
		return nil, noMatchingDomain(f.origin(), args.domain)
	}
	return encodeInt32(d.state, d.reason), nil
}

type statsArgs struct {
	domains []schema.Object
	stats   uint32
	flags   uint32
}

func decodeStats(d *wire.Decoder) statsArgs {
	var args statsArgs
	for range d.Count(wire.MaxStatsRecords, 24) {
		args.domains = append(args.domains, d.Domain())
		if d.Err() != nil {
			break
		}
	}
	args.stats, args.flags = d.Uint32(), d.Uint32()
	return args
}

// getAllDomainStats knows the state group only; like the real drivers it answers unknown
// groups with no parameters unless a flag makes it insist, and leaves out named domains
// that do not exist.
func getAllDomainStats(c *Client, args statsArgs) ([]byte, *wire.RemoteError) {
	s := c.server
	f := s.opts.Flavor
	if unknown := args.flags &^ (listEvery | wire.StatsNoWait | statsBacking | statsEnforce); unknown != 0 {
		return nil, unsupportedFlags(f.origin(), unknown, f.function("ConnectGetAllDomainStats"))
	}
	if unknown := args.stats &^ wire.StatsState; unknown != 0 && args.flags&statsEnforce != 0 {
		return nil, remoteError(codeArgumentUnsupport, f.origin(), "argument unsupported: %s",
			"Stats types bits 0x%x are not supported by this daemon", unknown)
	}
	asked := s.domains
	if len(args.domains) > 0 {
		asked = nil
		for _, named := range args.domains {
			if d, ok := s.byUUID[named.UUID]; ok {
				asked = append(asked, d)
			}
		}
	}
	var records wire.Encoder
	n := uint32(0)
	for _, d := range asked {
		if !d.fits(args.flags) {
			continue
		}
		n++
		records.Domain(d.domain)
		if args.stats != 0 && args.stats&wire.StatsState == 0 {
			records.TypedParams(nil)
			continue
		}
		records.TypedParams([]wire.TypedParam{
			{Field: wire.FieldState, Type: wire.ParamInt, Int: int64(d.state)},
			{Field: wire.FieldReason, Type: wire.ParamInt, Int: int64(d.reason)},
		})
	}
	return append(encodeInt32(int32(n)), records.Payload()...), nil
}

func lookupByID(c *Client, id int32) ([]byte, *wire.RemoteError) {
	return c.lookup(func(d *Domain) bool { return d.active() && d.domain.ID == id })
}

func lookupByName(c *Client, name string) ([]byte, *wire.RemoteError) {
	return c.lookup(func(d *Domain) bool { return d.domain.Name == name })
}

func lookupByUUID(c *Client, uuid schema.UUID) ([]byte, *wire.RemoteError) {
	return c.lookup(func(d *Domain) bool { return d.domain.UUID == uuid })
}

func (c *Client) lookup(is func(*Domain) bool) ([]byte, *wire.RemoteError) {
	for _, d := range c.server.domains {
		if is(d) {
			var e wire.Encoder
			e.Domain(d.domain)
			return e.Payload(), nil
		}
	}
	return nil, domainNotFound(c.server.opts.Flavor.origin())
}
