package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// TestSDKReadsStructured holds that the SDK reads what AppendJSON writes, finds nothing
// wrong, and has the same event as CloudEvent makes.
func TestSDKReadsStructured(t *testing.T) {
	for _, test := range testEvents() {
		t.Run(test.name, func(t *testing.T) {
			var read event.Event
			if err := json.Unmarshal(AppendJSON(nil, &test.event), &read); err != nil {
				t.Fatal(err)
			}
			checkSDKEvent(t, test.event, read)
		})
	}
}

// TestSDKReadsBinary does the same for attributes in headers, through the SDK's own
// bindings.
func TestSDKReadsBinary(t *testing.T) {
	for _, test := range testEvents() {
		t.Run(test.name, func(t *testing.T) {
			message := &headers{attributes: attributesOf(&test.event), body: AppendData(nil, &test.event)}
			read, err := binding.ToEvent(context.Background(), message)
			if err != nil {
				t.Fatal(err)
			}
			if test.event.Synthetic { // headers have no Booleans
				if err := read.Context.SetExtension(AttrSynthetic, true); err != nil {
					t.Fatal(err)
				}
			}
			checkSDKEvent(t, test.event, *read)
		})
	}
}

// TestSDKWritesBinary holds that the SDK, given the event that CloudEvent makes, writes
// the same headers as VisitAttributes.
func TestSDKWritesBinary(t *testing.T) {
	for _, test := range testEvents() {
		t.Run(test.name, func(t *testing.T) {
			ce, err := test.event.CloudEvent()
			if err != nil {
				t.Fatal(err)
			}
			var written headers
			if _, err := binding.Write(context.Background(), binding.ToMessage(&ce), nil, &written); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeBinary(func(name string) string { return written.attributes[name] }, written.body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.event, got); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
			want := attributesOf(&test.event)
			want["time"] = types.FormatTime(test.event.Received) // without trailing zeros
			if diff := cmp.Diff(want, written.attributes); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

// checkSDKEvent checks an event that the SDK read against the one that was written.
func checkSDKEvent(t *testing.T, written Event, read event.Event) {
	t.Helper()
	if err := read.Validate(); err != nil {
		t.Fatalf("the SDK finds faults: %v", err)
	}
	want, err := written.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("the SDK's event (-want +got):\n%s", diff)
	}
	got, err := FromCloudEvent(read)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, got); diff != "" {
		t.Errorf("converted (-want +got):\n%s", diff)
	}
	text, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = Decode(text); err != nil {
		t.Fatalf("written again by the SDK: %v", err)
	}
	if diff := cmp.Diff(written, got); diff != "" {
		t.Errorf("written again by the SDK (-want +got):\n%s", diff)
	}
}

func TestCloudEventRefusesSource(t *testing.T) {
	for _, source := range []string{"", "qemu://[::1/system", "qemu://h/a{b}"} {
		e := lifecycleEvent(2, 0)
		e.Connection = &Connection{Name: "kvm01", Source: source}
		if ce, err := e.CloudEvent(); err == nil {
			t.Errorf("source %q gives %v", source, ce)
		}
	}
}

func TestFromCloudEventRefuses(t *testing.T) {
	if got, err := FromCloudEvent(event.New()); err == nil {
		t.Errorf("an empty event gives %+v", got)
	}
	ce, err := (&testEvents()[0].event).CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	ce.SetSpecVersion(event.CloudEventsVersionV03)
	if got, err := FromCloudEvent(ce); err == nil {
		t.Errorf("version 0.3 gives %+v", got)
	}
}

// headers is a message in binary mode, for the SDK to read and to write.
type headers struct {
	attributes map[string]string
	body       []byte
}

var (
	_ binding.Message               = (*headers)(nil)
	_ binding.MessageMetadataReader = (*headers)(nil)
	_ binding.BinaryWriter          = (*headers)(nil)
)

func (*headers) ReadEncoding() binding.Encoding { return binding.EncodingBinary }

func (*headers) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

func (h *headers) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	for name, value := range h.attributes {
		var err error
		if attribute := spec.V1.Attribute(name); attribute != nil {
			err = w.SetAttribute(attribute, value)
		} else {
			err = w.SetExtension(name, value)
		}
		if err != nil {
			return err
		}
	}
	return w.SetData(bytes.NewReader(h.body))
}

func (*headers) Finish(error) error { return nil }

func (h *headers) GetAttribute(kind spec.Kind) (spec.Attribute, any) {
	attribute := spec.V1.AttributeFromKind(kind)
	return attribute, h.attributes[attribute.Name()]
}

func (h *headers) GetExtension(name string) any { return h.attributes[name] }

func (h *headers) Start(context.Context) error {
	h.attributes = make(map[string]string)
	return nil
}

func (h *headers) SetAttribute(attribute spec.Attribute, value any) error {
	return h.SetExtension(attribute.Name(), value)
}

func (h *headers) SetExtension(name string, value any) error {
	text, err := types.Format(value)
	h.attributes[name] = text
	return err
}

func (h *headers) SetData(data io.Reader) error {
	var err error
	h.body, err = io.ReadAll(data)
	return err
}

func (*headers) End(context.Context) error { return nil }

func TestContentTypeStructured(t *testing.T) {
	if !format.IsFormat(ContentTypeStructured) || format.Lookup(ContentTypeStructured) != format.JSON {
		t.Errorf("the SDK does not take %q for an event", ContentTypeStructured)
	}
}
