package producer

// Record is one Kafka record. A nil value is a tombstone.
type Record struct {
	Key     []byte
	Value   []byte
	Headers []Header
	// Time is in milliseconds since 1970.
	Time int64
}

// Header is one header of a record.
type Header struct {
	Name  string
	Value []byte
}

// Encoder makes records. Each sender has one of its own.
type Encoder interface {
	// Encode returns the i-th record of the delivery, valid until the next call.
	Encode(i int) *Record
}

// Delivery is the records of one call of [Producer.Deliver], by index from 0.
type Delivery interface {
	// Len returns the number of records.
	Len() int
	// Route appends the topic and the key of a record to topic and key.
	Route(i int, topic, key []byte) (t, k []byte)
	// AppendID appends what makes a record the same one when it is presented again.
	AppendID(dst []byte, i int) []byte
	// Next appends the waiting records that may be sent now, in order. It is called again
	// when these are settled or have failed for now. It returns dst as it is when no
	// other may go.
	Next(dst []int32, status []Status) []int32
}

// Status is how far a record has come in a delivery.
type Status uint8

const (
	// Waiting records were not given to a partition yet.
	Waiting Status = iota
	// Sending records belong to a partition.
	Sending
	// Settled records have an outcome.
	Settled
)
