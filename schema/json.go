package schema

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the event in structured mode: one JSON object with the
// attributes and the data, without a line break anywhere. It allocates nothing if
// dst has room; 1 KiB is enough for most events.
func AppendJSON(dst []byte, e *Event) []byte {
	for a := range attributeCount {
		start := len(dst)
		dst = append(dst, attributeKeys[a]...)
		valueStart := len(dst)
		dst = appendAttribute(dst, e, a)
		switch {
		case len(dst) == valueStart:
			dst = dst[:start]
		case a == attrSynthetic: // the only Boolean
		default:
			dst = append(dst, '"')
		}
	}
	dst = append(dst, `,"data":`...)
	dst = AppendData(dst, e)
	return append(dst, '}')
}

// attributeKeys are what stands before the values in structured mode.
var attributeKeys = func() (keys [attributeCount]string) {
	for a, name := range attributeNames {
		keys[a] = `,"` + name + `":"`
	}
	keys[attrSpecVersion] = `{"` + attributeNames[attrSpecVersion] + `":"`
	keys[attrSynthetic] = `,"` + attributeNames[attrSynthetic] + `":`
	return keys
}()

// AppendData appends the event's data, a JSON object: the body of a message in binary
// mode. It allocates nothing if dst has room.
func AppendData(dst []byte, e *Event) []byte {
	c := e.connection()
	dst = append(dst, `{"connection":{"name":`...)
	dst = appendString(dst, c.Name)
	dst = append(dst, `,"uri":`...)
	dst = appendString(dst, c.URI)
	dst = append(dst, `,"hostname":`...)
	dst = appendString(dst, c.Hostname)
	dst = append(dst, '}')
	dst = appendObject(dst, &e.Object)
	if row := e.Kind.row(); row != nil {
		if row.events != nil {
			dst = appendPair(dst, row.events, e.Observation.Event, e.Detail)
		}
		if e.Kind == KindState {
			dst = appendState(dst, e.State)
		}
		if row.appendFields != nil {
			dst = row.appendFields(dst, e.Observation)
		}
	}
	if e.Payload != "" {
		dst = append(append(dst, ','), e.Payload...)
	}
	return append(dst, '}')
}

// appendObject appends the member that names the object, and nothing for the connection
// itself.
func appendObject(dst []byte, o *Object) []byte {
	if o.IsConnection() {
		return dst
	}
	family := &unknownFamily
	if int(o.Family) < len(families) {
		family = &families[o.Family]
	}
	dst = append(append(append(dst, `,"`...), family.member...), `":{`...)
	if o.Family != FamilyNodeDevice {
		dst = append(dst, `"uuid":"`...)
		dst = o.UUID.AppendText36(dst)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"name":`...)
	dst = appendString(dst, o.Name)
	if o.Family == FamilyDomain {
		dst = append(dst, `,"id":`...)
		dst = strconv.AppendInt(dst, int64(o.ID), 10)
	}
	return append(dst, '}')
}

// appendPair appends an event and its detail, by name and by number.
func appendPair(dst []byte, events []eventRow, event, detail int32) []byte {
	dst = append(dst, `,"event":"`...)
	dst = append(dst, eventName(events, event)...)
	dst = append(dst, `","eventCode":`...)
	dst = strconv.AppendInt(dst, int64(event), 10)
	dst = append(dst, `,"detail":"`...)
	dst = append(dst, detailName(events, event, detail)...)
	dst = append(dst, `","detailCode":`...)
	return strconv.AppendInt(dst, int64(detail), 10)
}

// appendGap appends the members of [KindGap].
func appendGap(dst []byte, o Observation) []byte {
	if o.Gap == nil {
		return dst
	}
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, string(o.Gap.Reason))
	if o.Gap.Lost > 0 {
		dst = append(dst, `,"lost":`...)
		dst = strconv.AppendUint(dst, o.Gap.Lost, 10)
	}
	dst = append(dst, `,"since":"`...)
	dst = appendTime(dst, o.UnobservedSince)
	dst = append(dst, `","until":"`...)
	dst = appendTime(dst, o.Gap.Until)
	return append(dst, '"')
}

// appendCounter appends a counter in 20 digits, so that strings sort as numbers do.
func appendCounter(dst []byte, v uint64) []byte {
	var room [20]byte
	digits := strconv.AppendUint(room[:0], v, 10)
	dst = append(dst, "00000000000000000000"[len(digits):]...)
	return append(dst, digits...)
}

// appendTime appends t in RFC 3339, in UTC, always with nine digits of fraction, so that
// strings sort as times do. A year that RFC 3339 cannot write becomes the nearest instant
// that it can.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 {
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	} else if y > 9999 {
		t = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits2(dst, year/100)
	dst = appendDigits2(dst, year%100)
	dst = append(dst, '-')
	dst = appendDigits2(dst, int(month))
	dst = append(dst, '-')
	dst = appendDigits2(dst, day)
	dst = append(dst, 'T')
	dst = appendDigits2(dst, hour)
	dst = append(dst, ':')
	dst = appendDigits2(dst, minute)
	dst = append(dst, ':')
	dst = appendDigits2(dst, second)
	nanos := t.Nanosecond()
	dst = append(dst, '.', byte('0'+nanos/100_000_000))
	dst = appendDigits2(dst, nanos/1_000_000%100)
	dst = appendDigits2(dst, nanos/10_000%100)
	dst = appendDigits2(dst, nanos/100%100)
	dst = appendDigits2(dst, nanos%100)
	return append(dst, 'Z')
}

func appendDigits2(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendString appends s as a JSON string. Names come from the wire and may hold any
// bytes: what is not UTF-8 becomes U+FFFD, byte by byte. U+2028 and U+2029 are escaped
// since JavaScript once took them for line breaks.
func appendString(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if !(r == utf8.RuneError && size == 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u',
				hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
		}
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
