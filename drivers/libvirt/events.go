package libvirt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// eventRow is one kind of event: the fields of its message after the callback id.
type eventRow struct {
	kind   schema.Kind
	decode func(*eventDecoder, *schema.Observation)
}

// eventRows has a row for each message that is decoded, by procedure. A kind without a
// row cannot be registered for, so that no event is asked for and then skipped.
var eventRows = map[int32]eventRow{
	wire.ProcDomainEventLifecycle: {schema.KindLifecycle, (*eventDecoder).lifecycle},
}

// decodes reports whether a kind has a row.
func decodes(kind schema.Kind) bool {
	if kind.Family() != schema.FamilyDomain {
		return false
	}
	procedure, ok := wire.DomainEventProcedure(kind.EventID())
	if !ok {
		return false
	}
	_, ok = eventRows[procedure]
	return ok
}

// eventDecoder decodes events one after the other. Names that it has seen before cost no
// allocation. The zero value is ready for use; not safe for concurrent use.
type eventDecoder struct {
	xdr   wire.Decoder
	names map[string]string
}

const (
	// maxNames bounds the names that are kept; one more empties the collection.
	maxNames = 4096
	// maxKeptName is the longest name that is kept, in bytes.
	maxKeptName = 256
)

// decode fills in what the message says: the domain and the kind's own fields. Bytes
// after the last field that is known here are a newer daemon's, and left.
func (e *eventDecoder) decode(row eventRow, payload []byte, o *schema.Observation) (callbackID int32, err error) {
	e.xdr = wire.NewDecoder(payload)
	callbackID = e.xdr.Int32()
	row.decode(e, o)
	err = e.xdr.Err()
	e.xdr = wire.Decoder{} // let go of the payload
	return callbackID, err
}

func (e *eventDecoder) lifecycle(o *schema.Observation) {
	e.domain(&o.Object)
	o.Event = e.xdr.Int32()
	o.Detail = e.xdr.Int32()
}

// listed reads a domain of a reply.
func (e *eventDecoder) listed(d *wire.Decoder) schema.Object {
	var o schema.Object
	o.Name = e.name(d.Bytes())
	o.UUID = d.UUID()
	o.ID = d.Int32()
	return o
}

func (e *eventDecoder) domain(d *schema.Object) {
	d.Name = e.name(e.xdr.Bytes())
	d.UUID = e.xdr.UUID()
	d.ID = e.xdr.Int32()
}

// name returns b as a string, the same one for the same bytes.
func (e *eventDecoder) name(b []byte) string {
	if kept, ok := e.names[string(b)]; ok {
		return kept
	}
	if len(b) > drivers.MaxText {
		return cut(b)
	}
	if len(b) == 0 || len(b) > maxKeptName {
		return string(b)
	}
	if e.names == nil || len(e.names) >= maxNames {
		e.names = make(map[string]string)
	}
	kept := string(b)
	e.names[kept] = kept
	return kept
}

// cut returns the beginning of a text that is longer than drivers.MaxText, with a mark
// and a digest of the whole: different texts stay different. libvirt's drivers name files
// after domains, which keeps names below 256 bytes. Only the protocol allows 4 MiB.
func cut[T string | []byte](text T) string {
	digest := sha256.Sum256([]byte(text))
	mark := "…" + hex.EncodeToString(digest[:8])
	return string(bytes.ToValidUTF8([]byte(text[:drivers.MaxText-len(mark)]), nil)) + mark
}
