package domains

// rank orders the sources that have the same domain: the one with the highest rank takes
// precedence.
type rank int

const (
	rankGone   rank = iota // it is not there
	rankThere              // it is defined, or may be
	rankMoving             // it is there for the time of a migration
	rankActive             // it is active there, and so nowhere else
)

func (k *knowledge) rank() rank {
	switch {
	case k.presence == active:
		return rankActive
	case k.presence == incoming || k.presence == outgoing:
		return rankMoving
	case k.presence == absent, k.presence == superseded && k.persistence == notPersistent:
		return rankGone
	}
	return rankThere
}

// takesPrecedence decides, for a UUID that several sources have, whether the state of the
// one that an event has just changed is published: see the package documentation. So what
// the source of a migration sends late, after the destination, changes nothing. The time
// of receipt decides which source is the last to become active, since what one connection
// brought may be recorded after what another brought later. touch is called with each
// other source's object before it is changed.
func takesPrecedence(d *object, touch func(*object)) bool {
	mine := d.rank()
	for other := d.sameUUID; other != d; other = other.sameUUID {
		theirs := other.rank()
		switch {
		case theirs > mine, theirs == mine && mine != rankActive && other.published:
			return false
		case theirs == mine && mine == rankActive && other.at > d.at:
			d.presence = superseded
			return false
		}
	}
	for other := d.sameUUID; other != d; other = other.sameUUID {
		left := mine == rankActive && (other.presence == active || other.presence == outgoing)
		if !left && !other.published {
			continue
		}
		touch(other)
		other.published = false
		if left {
			other.presence = superseded
		}
	}
	d.published = true
	return true
}

// isFirst reports whether no other source takes precedence over d.
func (d *object) isFirst() bool {
	mine := d.rank()
	for other := d.sameUUID; other != d; other = other.sameUUID {
		if theirs := other.rank(); theirs > mine || theirs == mine && !d.published {
			return false
		}
	}
	return true
}
