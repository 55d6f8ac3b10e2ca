package aplomb

import (
	"bytes"
	"slices"
	"strings"
)

// Secrets returns the paths that look like secrets, in order, without those allowed by name: environment files, private
// keys and key stores, credentials of tools, and the folders of version control. It knows names only; see
// LooksLikePrivateKey for bytes. allowed names whole paths, with or without the leading "/".
func Secrets(files []File, allowed []string) []string {
	let := make(map[string]bool, len(allowed))
	for _, a := range allowed {
		let["/"+strings.TrimPrefix(a, "/")] = true
	}
	var found []string
	for _, f := range files {
		if looksSecret(f.Path) && !let[f.Path] {
			found = append(found, f.Path)
		}
	}
	slices.Sort(found)
	return found
}

func looksSecret(path string) bool {
	folders := strings.ToLower(path)
	base := folders[strings.LastIndexByte(folders, '/')+1:]
	for segment := range strings.SplitSeq(folders, "/") {
		switch segment {
		case ".git", ".svn", ".hg", ".bzr", "cvs", ".ssh", ".aws", ".azure", ".gcloud", ".gnupg", ".kube", ".terraform":
			return segment != "cvs" || isCVS(base)
		}
	}
	return secretName(base) || secretEnv(base) || secretExt(base)
}

// isCVS tells CVS's own files from a folder of curricula vitae.
func isCVS(base string) bool { return base == "entries" || base == "repository" || base == "root" }

// secretEnv knows .env, .env.production and prod.env, but not the examples people publish on purpose.
func secretEnv(base string) bool {
	if base == ".env" || base == ".envrc" || strings.HasSuffix(base, ".env") {
		return true
	}
	rest, is := strings.CutPrefix(base, ".env.")
	switch rest {
	case "example", "sample", "template", "dist", "defaults":
		return false
	}
	return is
}

func secretExt(base string) bool {
	dot := strings.LastIndexByte(base, '.')
	if dot < 0 {
		return false
	}
	switch base[dot+1:] {
	case "pem", "key", "p12", "pfx", "p8", "jks", "keystore", "ppk", "kdbx", "tfvars", "tfstate", "ovpn":
		return true
	}
	return strings.HasSuffix(base, ".tfstate.backup")
}

func secretName(base string) bool {
	switch base {
	case "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk",
		".htpasswd", ".npmrc", ".yarnrc.yml", ".netrc", "_netrc", ".pypirc", ".pgpass", ".my.cnf", ".git-credentials",
		".dockercfg", ".dockerconfigjson", ".s3cfg", ".boto", ".vault-token", ".bash_history", ".zsh_history",
		".psql_history", ".mysql_history", "wp-config.php",
		"serviceaccountkey.json", "serviceaccount.json", "service-account.json", "service_account.json",
		"service-account-key.json", "application_default_credentials.json",
		"secrets.yml", "secrets.yaml", "secrets.toml":
		return true
	}
	return false
}

// LooksLikePrivateKey reports whether the first bytes of a file hold a private key in text form: the line that begins
// one, followed by what can be a key. A script that only mentions the line does not count. Give it some kilobytes.
func LooksLikePrivateKey(head []byte) bool {
	if bytes.HasPrefix(head, []byte("PuTTY-User-Key-File-")) {
		return true
	}
	for {
		i := bytes.Index(head, []byte("-----BEGIN "))
		if i < 0 {
			return false
		}
		head = head[i+len("-----BEGIN "):]
		label, _, ok := bytes.Cut(head[:min(len(head), 80)], []byte("-----"))
		if !ok || bytes.ContainsAny(label, "\r\n") {
			continue
		}
		isKey := bytes.HasSuffix(label, []byte("PRIVATE KEY")) || bytes.HasSuffix(label, []byte("PRIVATE KEY BLOCK"))
		if isKey && beginsKey(head[len(label)+len("-----"):]) {
			return true
		}
	}
}

// beginsKey reports whether text can be the body of a key: base64 or a header line after a line's end, which in JSON
// and in environment files is written "\n". A body that is cut off at once counts: what follows is not known.
func beginsKey(text []byte) bool {
	body := bytes.TrimLeft(text, " \t\r\n")
	for bytes.HasPrefix(body, []byte(`\n`)) || bytes.HasPrefix(body, []byte(`\r`)) {
		body = bytes.TrimLeft(body[2:], " \t\r\n")
	}
	if len(body) == 0 {
		return true
	}
	for _, header := range []string{"Proc-Type:", "Version:", "Comment:", "DEK-Info:"} {
		if bytes.HasPrefix(body, []byte(header)) {
			return true
		}
	}
	n := 0
	for n < len(body) && isBase64(body[n]) {
		n++
	}
	return n >= 24 || n > 0 && n == len(body)
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}
