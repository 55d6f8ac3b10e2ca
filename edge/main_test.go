package edge

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that are left over. certmagic keeps one for each authority and account it ever asked, which
// paces its orders and never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"))
}
