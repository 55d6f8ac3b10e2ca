// Package e2e tries the built program as people, visitors and accidents meet it: its tests start the real binary, real
// browsers and real caches on published front ends. It holds tests only, and reaches into no other package
// but the one that brings a certificate authority.
//
// They need Chromium, nginx, Varnish and npm, and root for the tests that mount a small disk or change their user; what is
// missing is an error. APLOMB_FULL=1 asks for the long form, APLOMB_SEED repeats a run of TestKill9, and APLOMB_CACHE is
// where fetched packages are kept.
package e2e
