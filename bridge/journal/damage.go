package journal

import (
	"errors"
	"fmt"
)

// DamageError is returned when a file does not hold what was once written to it and
// acknowledged. The journal changes nothing then.
type DamageError struct {
	File   string // path
	Offset int64  // byte in the file
	Reason string
	Cure   string // what the operator can do

	torn bool // it may be a write that was cut short: nothing good is known behind it
}

// Error names the place, the reason and the cure.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s (%s)", e.File, e.Offset, e.Reason, e.Cure)
}

// The cures.
const (
	cureRestore = "restore the data directory from a copy, or move it away to begin a new one, " +
		"which gives up the records in it that were not delivered"
	cureDeadLetters = "restore the file from a copy, or move it away to give up the dead letters in it"
)

// newerError is the version of a file that a newer program wrote.
type newerError uint32

func (e newerError) Error() string {
	return fmt.Sprintf("it has format %d and this version of virtcast knows formats up to %d: use the newer "+
		"version that wrote it", uint32(e), formatVersion)
}

// notFrame is placed for bytes that are not a frame.
func notFrame(file string, offset int64, err error) error {
	err = placed(file, offset, err)
	var damage *DamageError
	if errors.As(err, &damage) {
		damage.torn = true
	}
	return err
}

// placed makes err, met at a place of a file, a DamageError, unless the file could
// not be read or is of a newer format.
func placed(file string, offset int64, err error) error {
	var unread *readError
	var newer newerError
	if errors.As(err, &unread) || errors.As(err, &newer) {
		return fmt.Errorf("open %s: %w", file, err)
	}
	return &DamageError{File: file, Offset: offset, Reason: err.Error(), Cure: cureRestore}
}
