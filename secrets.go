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

// KeyProbeBytes is how much of a file's beginning LooksLikePrivateKey is to be given: a key may stand within the first
// 64 KiB, behind whatever else, and its body behind it.
const KeyProbeBytes = 64<<10 + 4<<10

// LooksLikePrivateKey reports whether the first bytes of a file hold a private key in text form: the line that begins
// one, and lines of base64 behind it. A script that only has the line, and puts a key behind it when it runs, does not
// count.
func LooksLikePrivateKey(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) { // UTF-16, as some shells write
		head = bytes.ReplaceAll(head[2:], []byte{0}, nil)
	}
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("PuTTY-User-Key-File-")) {
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
		if isKey && isKeyBody(head[len(label)+len("-----"):]) {
			return true
		}
	}
}

// The least that a private key has: the shortest kind has one line of 64 characters.
const (
	keyLine = 40
	keyBody = 60
)

// isKeyBody reports whether text begins with the lines of a key, behind the header lines that some kinds have.
func isKeyBody(text []byte) bool {
	total, longest := 0, 0
	for total < keyBody || longest < keyLine {
		text = skipBetweenKeyLines(text)
		n := 0
		for n < len(text) && isBase64(text[n]) {
			n++
		}
		switch {
		case n < len(text) && (text[n] == '-' || text[n] == ':') && total == 0: // a header: "DEK-Info: AES-128-CBC,…"
			rest, ok := skipKeyHeader(text)
			if !ok {
				return false
			}
			text = rest
			continue
		case n == 0:
			return false
		}
		total, longest = total+n, max(longest, n)
		text = text[n:]
	}
	return true
}

// skipBetweenKeyLines skips what stands between two lines of a key: a line's end, which in JSON and in environment files
// is written "\n", and in code also what joins two strings.
func skipBetweenKeyLines(text []byte) []byte {
	for {
		switch {
		case bytes.HasPrefix(text, []byte(`\n`)), bytes.HasPrefix(text, []byte(`\r`)):
			text = text[2:]
		case len(text) > 0 && strings.IndexByte(" \t\r\n\\\"'`,", text[0]) >= 0:
			text = text[1:]
		case bytes.HasPrefix(text, []byte("+ ")), bytes.HasPrefix(text, []byte("+\"")), bytes.HasPrefix(text, []byte("+'")),
			bytes.HasPrefix(text, []byte("+\n")), bytes.HasPrefix(text, []byte("+\r")):
			text = text[1:]
		default:
			return text
		}
	}
}

// skipKeyHeader skips one header line.
func skipKeyHeader(text []byte) ([]byte, bool) {
	name, _, ok := bytes.Cut(text[:min(len(text), 32)], []byte(": "))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \r\n\\\"") {
		return nil, false
	}
	end := bytes.IndexAny(text[:min(len(text), 200)], "\n\\")
	if end < 0 {
		return nil, false
	}
	return text[end:], true
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}
