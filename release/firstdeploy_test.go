package release

import (
	"context"
	"strings"
	"testing"

	"aplomb"
)

func TestAFirstDeployThatFailsKeepsNeitherNameNorHost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	req := func(site aplomb.SiteName, host string) UploadRequest {
		return UploadRequest{Site: site, Hosts: []string{host}, Files: files(front("one"))}
	}
	ways := map[string]func(h *house) error{
		"given up": func(h *house) error {
			up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, req("shop", "shop.localhost")))
			return h.m.Abandon(ctx, up.ID, "changed my mind")
		},
		"a stream that breaks off": func(h *house) error {
			up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, req("shop", "shop.localhost")))
			if _, err := h.m.Receive(ctx, up.ID, strings.NewReader("x")); err == nil {
				t.Error("a broken stream was taken")
			}
			return nil
		},
		"never sealed": func(h *house) error {
			up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, req("shop", "shop.localhost")))
			if _, err := h.m.Seal(ctx, up.ID); err == nil {
				t.Error("sealed without its files")
			}
			return nil
		},
		"not recorded": func(h *house) error {
			h.led.fail("", "lost")
			if _, err := h.m.Begin(ctx, Ask{Actor: "mia"}, req("shop", "shop.localhost")); err == nil {
				t.Error("begun without a record")
			}
			return nil
		},
	}
	for name, fail := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if err := fail(h); err != nil {
				t.Fatal(err)
			}
			if all := must(h.m.Sites(ctx)); len(all) != 0 {
				t.Errorf("sites = %+v, want none", all)
			}
			other := must(h.m.Begin(ctx, Ask{Actor: "ana"}, req("blog", "shop.localhost")))
			if !other.Created {
				t.Error("the host was kept from another site")
			}
			if up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, req("shop", "www.localhost"))); !up.Created {
				t.Error("the name was not free")
			}
		})
	}
}

func TestASiteThatIsMoreThanAFailedDeployStays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h := newHouse(t)
	must(h.m.AddSite(ctx, Ask{Actor: "mia"}, "added", []string{"added.localhost"}))
	up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, UploadRequest{Site: "added", Files: files(front("one"))}))
	if err := h.m.Abandon(ctx, up.ID, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	first := must(h.m.Begin(ctx, Ask{Actor: "mia"}, UploadRequest{Site: "shop", Hosts: []string{"shop.localhost"}, Files: files(front("one"))}))
	must(h.deploy("two"))
	if err := h.m.Abandon(ctx, first.ID, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	if all := must(h.m.Sites(ctx)); len(all) != 2 || all[0].Site != "added" || all[1].Live != "r1" {
		t.Errorf("sites = %+v, want both, shop with its release", all)
	}
}
