package schema

import (
	"errors"
	"fmt"
)

// ErrUnknownType is returned when an event is not one of virtcast's, or of a kind or
// a version of the data that this version of the package does not know.
var ErrUnknownType = errors.New("unknown type of event")

func unknownTypeError(typ string) error { return fmt.Errorf("%w: %.100q", ErrUnknownType, typ) }

// decodeGap reads the members of [KindGap].
func decodeGap(_ []byte, _ *Observation) error { return nil }
