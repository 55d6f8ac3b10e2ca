// Package e2e tries the built program as people, visitors and accidents meet it: its tests start the real binary, real
// browsers and real caches on published front ends. It holds tests only, and reaches into no other package.
package e2e
