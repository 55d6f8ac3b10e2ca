package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"aplomb"
)

// machineName is the file of settings that belong to this machine. It lies in the data folder and never travels.
const machineName = "machine.toml"

// The addresses of a server that was told none. Both are this machine's alone.
const (
	defaultListen = "127.0.0.1:8080"
	defaultAPI    = "127.0.0.1:9400"

	defaultAccessLog = "log/access.log"
)

// machineSettings are the keys of machine.toml.
type machineSettings struct {
	Listen    []string `toml:"listen"`
	ListenTLS []string `toml:"listen_tls"`
	Cert      string   `toml:"cert"`
	Key       string   `toml:"key"`
	API       string   `toml:"api"`
	// AccessLog is the file of the access record, or "off". Relative to the data folder.
	AccessLog string `toml:"access_log"`

	// Certs are more certificates, each with its key.
	Certs []certificateFiles `toml:"certs"`
	// ACME has certificates issued by an authority, whose terms are agreed to by it: Let's Encrypt, or the one whose
	// directory is ACMECA, known by ACMECARoots (a PEM file).
	ACME        bool   `toml:"acme"`
	ACMEEmail   string `toml:"acme_email"`
	ACMECA      string `toml:"acme_ca"`
	ACMECARoots string `toml:"acme_ca_roots"`
	// HTTPSRedirect leads plain requests to HTTPS for hosts that have a certificate; nil means that it does.
	HTTPSRedirect *bool `toml:"https_redirect"`
}

func machineKeys() []string {
	return []string{"listen", "listen_tls", "cert", "key", "api", "access_log", "certs", "acme", "acme_email", "acme_ca", "acme_ca_roots", "https_redirect"}
}

// loadMachine reads D/machine.toml; the zero value where there is none.
func loadMachine(dir string) (machineSettings, error) {
	var m machineSettings
	file := filepath.Join(dir, machineName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, aplomb.NewError(aplomb.CodeConfig, fmt.Sprintf("%s cannot be read", file), reasonOf(err), "make it readable for this user").Because(err)
	}
	_, err = decodeTOML(shortPath(file), data, &m, machineKeys())
	return m, err
}

// over lets flags go before the file, and the defaults after both.
func (m machineSettings) over(flags machineSettings) machineSettings {
	if len(flags.Listen) > 0 {
		m.Listen = flags.Listen
	}
	if len(flags.ListenTLS) > 0 {
		m.ListenTLS = flags.ListenTLS
	}
	if flags.Cert != "" {
		m.Cert = flags.Cert
	}
	if flags.Key != "" {
		m.Key = flags.Key
	}
	if flags.API != "" {
		m.API = flags.API
	}
	if len(m.Listen) == 0 && len(m.ListenTLS) == 0 {
		m.Listen = []string{defaultListen}
	}
	if m.API == "" {
		m.API = defaultAPI
	}
	if m.AccessLog == "" {
		m.AccessLog = defaultAccessLog
	}
	return m
}

// check refuses settings that contradict each other, before anything is opened.
func (m machineSettings) check() error {
	if err := m.checkCertificates(); err != nil {
		return err
	}
	for _, addr := range append(append([]string{m.API}, m.Listen...), m.ListenTLS...) {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return usage(fmt.Sprintf("%q is not an address to listen on", addr), err.Error(), "aplomb up --listen 127.0.0.1:8080")
		}
	}
	return nil
}

// defaultDir returns where this user's data lies unless told otherwise.
func defaultDir(getenv func(string) string) (string, error) {
	if base := getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "aplomb"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usage("it is not clear where the data is to lie", "this user has no home folder", "aplomb up --dir DIR")
	}
	return filepath.Join(home, ".local", "share", "aplomb"), nil
}
