package aplomb_test

import (
	"strings"
	"testing"
	"time"

	"aplomb"
)

func previewTicket() aplomb.PreviewTicket {
	return aplomb.PreviewTicket{Site: "shop", Release: "r12", Until: time.Unix(1_800_000_000, 0), Serial: 3}
}

func TestPreviewTicketComesBackAsItWasSigned(t *testing.T) {
	t.Parallel()
	want := previewTicket()
	got, err := aplomb.OpenPreview([]byte("key"), aplomb.SignPreview([]byte("key"), want), want.Until.Add(-time.Second))
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := aplomb.OpenPreview([]byte("key"), aplomb.SignPreview([]byte("key"), want), want.Until); err == nil || !strings.Contains(err.Error(), "good until") {
		t.Errorf("at its end: %v", err)
	}
	for _, key := range []string{"", "another"} {
		if _, err := aplomb.OpenPreview([]byte(key), aplomb.SignPreview([]byte("key"), want), want.Until.Add(-time.Second)); err == nil {
			t.Errorf("opened with key %q", key)
		}
	}
}

// FuzzPreviewTicket promises that a text is opened only if it is byte by byte what was signed.
func FuzzPreviewTicket(f *testing.F) {
	key, want := []byte("key"), previewTicket()
	signed := aplomb.SignPreview(key, want)
	f.Add(signed)
	f.Add(signed + "=")
	f.Add(strings.ToUpper(signed))
	f.Add("....")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := aplomb.OpenPreview(key, s, time.Unix(0, 0))
		if err == nil && (s != signed || got != want) {
			t.Errorf("%q was opened: %+v", s, got)
		}
	})
}

func TestSplitPreviewHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[aplomb.Host]string{
		"r12.preview.shop.localhost": "r12 preview.shop.localhost true", "r12": " false", "r0.a": " a false", "shop.localhost": " localhost false",
	} {
		id, rest, ok := aplomb.SplitPreviewHost(in)
		got := strings.Join([]string{string(id), string(rest), map[bool]string{true: "true", false: "false"}[ok]}, " ")
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
