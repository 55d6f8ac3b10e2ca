package edge

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
)

// CertificateFiles name a certificate with its chain, and its key, both PEM. The files are read again when they change.
type CertificateFiles struct {
	Cert, Key string
}

// ownCertificate is a pair of files, and the newest certificate that was whole in them.
type ownCertificate struct {
	files             CertificateFiles
	certText, keyText []byte
	cert              *tls.Certificate // nil until the files were good once
	problem           string           // why the files as they are now are not used
}

// read looks whether the files changed, and takes what is in them when they belong together. It reports whether there is
// another certificate now. While a tool is between writing the one and the other, the one before is kept.
func (o *ownCertificate) read() bool {
	certText, err := os.ReadFile(o.files.Cert)
	var keyText []byte
	if err == nil {
		keyText, err = os.ReadFile(o.files.Key)
	}
	if err == nil && o.cert != nil && bytes.Equal(certText, o.certText) && bytes.Equal(keyText, o.keyText) {
		o.problem = ""
		return false
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.X509KeyPair(certText, keyText)
	}
	if err != nil {
		o.problem = fmt.Sprintf("%s with %s: %v", o.files.Cert, o.files.Key, err)
		return false
	}
	o.cert, o.certText, o.keyText, o.problem = &cert, certText, keyText, ""
	return true
}
