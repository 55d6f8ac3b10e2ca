package release

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"aplomb"
)

// keyFile is a text that holds a private key behind much else.
func keyFile() string {
	return strings.Repeat("how we deploy\n", 4000) + "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("MIIEvQIBADANBgkq", 4) + "\n"
}

func TestAPrivateKeyDeepInAFileIsRefusedByName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	content := front("two")
	content["/notes.txt"] = keyFile()
	_, err := h.deployFiles(content)
	if e, ok := errors.AsType[*aplomb.Error](err); !ok || e.Code != aplomb.CodeSecret || !strings.Contains(e.Why, "/notes.txt") {
		t.Fatalf("deploy = %v, want %s naming /notes.txt", err, aplomb.CodeSecret)
	}
	if d, err := h.deployFiles(content, func(r *UploadRequest) { r.AllowSecrets = []string{"notes.txt"} }); err != nil || d.State != aplomb.Live {
		t.Errorf("deploy of a key allowed by name = %+v, %v", d, err)
	}
}

// TestAKeyFromABrokenUploadIsNotTakenForKnown: what is kept of a broken upload is not sent, nor looked at, again.
func TestAKeyFromABrokenUploadIsNotTakenForKnown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	content := map[string]string{"/notes.txt": keyFile()}
	req := UploadRequest{Site: "shop", Hosts: []string{"shop.localhost"}, Files: files(content)}
	up := must(h.m.Begin(context.Background(), Ask{Actor: "mia"}, req))
	whole := stream(content, up.Missing).Bytes()
	if _, err := h.m.Receive(context.Background(), up.ID, bytes.NewReader(whole[:len(whole)-1])); err == nil {
		t.Fatal("a stream without its end is taken for whole")
	}
	_, err := h.deployFiles(content)
	if e, ok := errors.AsType[*aplomb.Error](err); !ok || e.Code != aplomb.CodeSecret {
		t.Errorf("deploy after the broken one = %v, want %s", err, aplomb.CodeSecret)
	}
}
