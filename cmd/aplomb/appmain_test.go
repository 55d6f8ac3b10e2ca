package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

// appMain is the command app ADDR NAME: an app that says its name, what it is asked for, and of which release.
func appMain() {
	err := http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, fmt.Sprintf("%s: %s %s %s\n", os.Args[2], r.Method, r.URL, r.Header.Get("Aplomb-Release")))
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
