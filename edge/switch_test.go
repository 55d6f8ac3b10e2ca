package edge

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"aplomb"
)

func TestSwitchUnderLoadFailsNothingAndServesNothingOld(t *testing.T) {
	t.Parallel()
	const switches, visitors, visitsBetween = 20, 8, 200
	w := newWorld(t)
	e := listening(t, w, anyPort)
	run(t, e)
	var kept []aplomb.KeptRelease
	for n := 1; n <= switches; n++ {
		kept = append(kept, w.release(n, content{
			"/index.html": fmt.Sprint("document ", n), fmt.Sprintf("/assets/chunk%d-abcd1234.js", n): fmt.Sprint("chunk ", n),
		}))
	}
	to := func(n int) aplomb.Route {
		return route(int64(n), kept[n-1], slices.Concat(kept[:n-1], kept[n:])...)
	}
	w.perform(e, intent(to(1)))

	// acked is the newest acknowledged route: a request that starts later must not get an older one.
	var acked atomic.Int64
	acked.Store(1)
	visited, stop := make(chan error), make(chan struct{})
	var load sync.WaitGroup
	for range visitors {
		load.Go(func() {
			client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for {
				select {
				case visited <- visit(&client, "http://"+e.Addrs()[0].String(), &acked):
				case <-stop:
					return
				}
			}
		})
	}
	for n := 2; n <= switches; n++ {
		for range visitsBetween {
			if err := <-visited; err != nil {
				t.Error(err)
			}
		}
		w.perform(e, intent(to(n)))
		acked.Store(int64(n))
	}
	close(stop)
	load.Wait()
}

// visit loads a page and, like a page that stays open, the chunk it names and one of the first release.
func visit(client *http.Client, base string, acked *atomic.Int64) error {
	least := acked.Load()
	page, err := fetch(client, base+"/")
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(strings.TrimPrefix(page, "document "), 10, 64)
	if err != nil || number < least {
		return fmt.Errorf("after switch %d was acknowledged: got %q", least, page)
	}
	for _, n := range []int64{number, 1} {
		chunk, err := fetch(client, fmt.Sprintf("%s/assets/chunk%d-abcd1234.js", base, n))
		if err != nil {
			return err
		}
		if chunk != fmt.Sprint("chunk ", n) {
			return fmt.Errorf("chunk of r%d: got %q", n, chunk)
		}
	}
	return nil
}

func fetch(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return string(b), nil
}
