package wire

import "math"

// MaxTypedParams is the most typed parameters that one array may hold:
// REMOTE_DOMAIN_EVENT_TUNABLE_MAX, the largest limit of those in use.
const MaxTypedParams = 2048

// MaxStatsRecords is REMOTE_CONNECT_GET_ALL_DOMAIN_STATS_MAX.
const MaxStatsRecords = 262144

// ParamType is virTypedParameterType.
type ParamType int32

// The types of typed parameters.
const (
	ParamInt     ParamType = 1
	ParamUint    ParamType = 2
	ParamLlong   ParamType = 3
	ParamUllong  ParamType = 4
	ParamDouble  ParamType = 5
	ParamBoolean ParamType = 6
	ParamString  ParamType = 7
)

// TypedParam is remote_typed_param. Type says which of the values is set: Int for int,
// llong and boolean (0 or 1), Uint for uint and ullong.
type TypedParam struct {
	Field  string
	Type   ParamType
	Int    int64
	Uint   uint64
	Double float64
	String string
}

// TypedParam reads one remote_typed_param. A type that is not known has a value of
// unknown size, so it is a fault.
func (d *Decoder) TypedParam() TypedParam {
	p := TypedParam{Field: d.String(), Type: ParamType(d.Int32())}
	switch p.Type {
	case ParamInt, ParamBoolean:
		p.Int = int64(d.Int32())
	case ParamUint:
		p.Uint = uint64(d.Uint32())
	case ParamLlong:
		p.Int = d.Int64()
	case ParamUllong:
		p.Uint = d.Uint64()
	case ParamDouble:
		p.Double = math.Float64frombits(d.Uint64())
	case ParamString:
		p.String = d.String()
	default:
		d.fail("typed parameter of unknown type", uint64(uint32(p.Type)))
	}
	return p
}

// TypedParams reads an array of at most limit typed parameters.
func (d *Decoder) TypedParams(limit int) []TypedParam {
	n := d.Count(limit, 12) // so n is no more than the payload can hold
	params := make([]TypedParam, 0, n)
	for range n {
		p := d.TypedParam()
		if d.err != nil {
			return nil
		}
		params = append(params, p)
	}
	return params
}

// TypedParam appends one remote_typed_param. A type that is not known is sent without a
// value.
func (e *Encoder) TypedParam(p TypedParam) {
	e.String(p.Field)
	e.Int32(int32(p.Type))
	switch p.Type {
	case ParamInt, ParamBoolean:
		e.Int32(int32(p.Int))
	case ParamUint:
		e.Uint32(uint32(p.Uint))
	case ParamLlong:
		e.Int64(p.Int)
	case ParamUllong:
		e.Uint64(p.Uint)
	case ParamDouble:
		e.Uint64(math.Float64bits(p.Double))
	case ParamString:
		e.String(p.String)
	}
}

// TypedParams appends an array of typed parameters.
func (e *Encoder) TypedParams(params []TypedParam) {
	e.Uint32(uint32(len(params)))
	for _, p := range params {
		e.TypedParam(p)
	}
}

// Flags and groups of ProcConnectGetAllDomainStats.
const (
	// StatsState asks for state.state and state.reason (VIR_DOMAIN_STATS_STATE).
	StatsState uint32 = 1
	// StatsNoWait skips what a busy domain would make the daemon wait for.
	StatsNoWait uint32 = 1 << 29

	// FieldState and FieldReason are the parameters of [StatsState], both int.
	FieldState  = "state.state"
	FieldReason = "state.reason"
)
