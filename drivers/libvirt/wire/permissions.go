package wire

import "strings"

// permission returns what libvirt's access control must grant for a call, as its
// documentation spells it, or "" for a call that needs nothing or is not known here (@acl
// in remote_protocol.x). shown is what it must grant for each domain that the answer
// names or that events tell of (@aclfilter): without it they are left out, without an
// error.
func permission(procedure int32) (call, shown string) {
	switch procedure {
	case ProcConnectOpen, ProcConnectGetType, ProcConnectGetVersion, ProcConnectGetHostname,
		ProcConnectSupportsFeature, ProcConnectGetURI, ProcConnectGetLibVersion,
		ProcConnectRegisterClose, ProcConnectUnregisterClose:
		return "connect:getattr", ""
	case ProcDomainEventRegisterAny, ProcConnectListAllDomains:
		return "connect:search_domains", "domain:getattr"
	case ProcConnectGetAllDomainStats:
		return "connect:search_domains", "domain:read"
	case ProcDomainEventDeregisterAny:
		return "connect:read", ""
	case ProcDomainGetState:
		return "domain:read", ""
	default:
		return "", ""
	}
}

// allPermissions are those that virtcast's calls need together.
const allPermissions = "connect:getattr, connect:search_domains, connect:read, domain:getattr and domain:read"

// PermissionCure says what to grant so that a call which access control denied is
// allowed, a phrase without a full stop.
func PermissionCure(procedure int32) string {
	call, shown := permission(procedure)
	if call == "" {
		return "the daemon's access control must grant " + allPermissions + " to this user"
	}
	cure := "the daemon's access control must grant " + call + " to this user (for polkit, the action " + polkitAction(call) + ")"
	if shown != "" {
		cure += ", and " + shown + " for each domain that it may see"
	}
	return cure + "; virtcast needs " + allPermissions
}

// polkitAction returns the name of a permission's action in polkit.
func polkitAction(permission string) string {
	return "org.libvirt.api." + strings.NewReplacer(":", ".", "_", "-").Replace(permission)
}
