package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// epochLen is the length of an epoch: 50 bits at 5 bits a character.
const epochLen = 10

// epochMask is the 50 bits that an epoch has.
const epochMask = 1<<(5*epochLen) - 1

// FormatEpoch returns the lower 50 bits of v as an epoch: 10 digits of base 32. The
// digits 0-9a-v are in ASCII order, so epochs sort as their numbers do.
func FormatEpoch(v uint64) string {
	digits := strconv.FormatUint(v&epochMask, 32)
	return "0000000000"[len(digits):] + digits
}

// ParseEpoch is the reverse of [FormatEpoch]. It accepts only what FormatEpoch makes.
func ParseEpoch(epoch string) (uint64, error) {
	if len(epoch) == epochLen {
		if v, ok := parseBase32(epoch); ok {
			return v, nil
		}
	}
	return 0, fmt.Errorf("epoch %.40q: want %d characters of 0-9a-v", epoch, epochLen)
}

// EventID returns the id of the event with that sequence in an epoch: the epoch, a
// hyphen, and the sequence in base 32 (0-9a-v) without padding. No other event of the
// same source ever has the same id. Up to sequence 2^55 the id has at most 22 characters,
// which is enough for a thousand years at a million events a second. It never has more
// than 24.
func EventID(epoch string, sequence uint64) string {
	return string(appendEventID(make([]byte, 0, 24), epoch, sequence))
}

func appendEventID(dst []byte, epoch string, sequence uint64) []byte {
	dst = appendClean(dst, epoch)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, sequence, 32)
}

// ParseEventID is the reverse of [EventID]. It accepts only what EventID makes of an
// epoch that [FormatEpoch] made.
func ParseEventID(id string) (epoch string, sequence uint64, err error) {
	epoch, digits, _ := strings.Cut(id, "-")
	if _, err := ParseEpoch(epoch); err != nil {
		return "", 0, fmt.Errorf("event id %.40q: %w", id, err)
	}
	sequence, ok := parseBase32(digits)
	if !ok || (digits[0] == '0' && digits != "0") {
		return "", 0, fmt.Errorf("event id %.40q: want <epoch>-<sequence>, the sequence in digits 0-9a-v without padding", id)
	}
	return epoch, sequence, nil
}

// parseBase32 accepts lower-case digits only, unlike strconv.
func parseBase32(digits string) (uint64, bool) {
	if strings.Trim(digits, "0123456789abcdefghijklmnopqrstuv") != "" {
		return 0, false
	}
	v, err := strconv.ParseUint(digits, 32, 64)
	return v, err == nil
}
