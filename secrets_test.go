package aplomb

import (
	"slices"
	"strings"
	"testing"
)

func TestSecretsAreFoundByName(t *testing.T) {
	t.Parallel()
	secret := strings.Fields(`/.env /.env.production /.ENV /config/prod.env /.envrc /app/.env.local /.git/config /.git /a/.git/HEAD
		/.svn/entries /.hg/store /.ssh/known_hosts /.aws/credentials /server.key /cert.pem /keys/Server.PEM /store.p12 /cert.pfx
		/AuthKey_1.p8 /debug.keystore /id_rsa /deploy/id_ed25519 /.htpasswd /.npmrc /.netrc /.pypirc /.git-credentials
		/serviceAccountKey.json /terraform.tfstate /terraform.tfstate.backup /prod.tfvars /wp-config.php /CVS/Entries`)
	harmless := strings.Fields(`/index.html /.env.example /.env.sample /env.js /environment.json /id_rsa.pub /.well-known/security.txt
		/.well-known/pki-validation/a.txt /keys.js /monkey.png /.gitignore /.DS_Store /cvs/mia.pdf /keyboard.css /pem.html
		/assets/key-BwdlfHaE.js /main.js.map /.nojekyll /assets/.gitkeep`)
	got := Secrets(filesAt(append(slices.Clone(secret), harmless...)...), nil)
	slices.Sort(secret)
	if !slices.Equal(got, secret) {
		for _, path := range secret {
			if !slices.Contains(got, path) {
				t.Errorf("%s is not found", path)
			}
		}
		for _, path := range got {
			if !slices.Contains(secret, path) {
				t.Errorf("%s is no secret", path)
			}
		}
	}
}

func TestSecretsAllowedByNamePass(t *testing.T) {
	t.Parallel()
	files := filesAt("/.env", "/a/.env", "/public.pem")
	if got, want := Secrets(files, []string{"public.pem", "/.env"}), []string{"/a/.env"}; !slices.Equal(got, want) {
		t.Errorf("Secrets = %q, want %q", got, want)
	}
}

func TestPrivateKeysAreFoundInText(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("MIIEvQIBADANBgkq", 4)
	for _, c := range []struct {
		text string
		want bool
	}{
		{"-----BEGIN PRIVATE KEY-----\n" + body, true},
		{"-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-128-CBC,00\r\n\r\n" + body, true},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\n" + body, true},
		{"-----BEGIN EC PRIVATE KEY-----\n" + body, true},
		{"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n" + body, true},
		{"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" + body, true},
		{"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8\n-----END PRIVATE KEY-----\n", true},
		{`{"private_key": "-----BEGIN PRIVATE KEY-----\n` + body + `\n` + body + `\n-----END PRIVATE KEY-----\n"}`, true},
		{`{"key": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n` + body + `"}`, true},
		{`["-----BEGIN PRIVATE KEY-----", "` + body + `", "` + body + `"]`, true},
		{`const k="-----BEGIN PRIVATE KEY-----\n" +` + "\n" + `  "` + body + `\n"`, true},
		{"const k=`-----BEGIN PRIVATE KEY-----\n" + body + "`", true},
		{strings.Repeat("x", 60<<10) + "\n-----BEGIN PRIVATE KEY-----\n" + body, true},
		{"\ufeff-----BEGIN PRIVATE KEY-----\n" + body, true},
		{"\xff\xfe" + strings.Join(strings.Split("-----BEGIN PRIVATE KEY-----\n"+body, ""), "\x00") + "\x00", true},
		{`{"private_key": "-----BEGIN PRIVATE KEY-----\n` + body + `"}`, true},
		{"KEY='-----BEGIN PRIVATE KEY-----\n" + body + "'", true},
		{"-----BEGIN CERTIFICATE-----\nx\n-----BEGIN RSA PRIVATE KEY-----\n" + body, true},
		{"-----BEGIN RSA PRIVATE KEY-----\n", false},
		{"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA...\n-----END RSA PRIVATE KEY-----", false},
		{"-----BEGIN PRIVATE KEY-----\n(your key)\n-----END PRIVATE KEY-----", false},
		{"<code>-----BEGIN PRIVATE KEY-----</code> begins a private key", false},
		{`const a="-----BEGIN PRIVATE KEY-----\n",b="-----END PRIVATE KEY-----";export{a,b}`, false},
		{`n="-----BEGIN PRIVATE KEY-----\r\n"+btoa(String.fromCharCode(...new Uint8Array(e))).match(/.{1,64}/g).join("\r\n")`, false},
		{`/-----BEGIN (?:RSA |EC )?PRIVATE KEY-----([A-Za-z0-9+\/=\s]+)-----END/`, false},
		{"{begin:/-----BEGIN PRIVATE KEY-----/,end:/-----END PRIVATE KEY-----/}", false},
		{"PuTTY-User-Key-File-3: ssh-ed25519", true},
		{"-----BEGIN CERTIFICATE-----\n" + body, false},
		{"-----BEGIN PUBLIC KEY-----\n" + body, false},
		{`if(0!==e.indexOf("-----BEGIN PRIVATE KEY-----"))throw new TypeError('"pkcs8" must be PKCS#8')`, false},
		{`"-----BEGIN RSA PRIVATE KEY-----\n"+t+"\n-----END`, false},
		{"-----BEGIN \nPRIVATE KEY-----\n" + body, false},
		{"", false},
	} {
		if got := LooksLikePrivateKey([]byte(c.text)); got != c.want {
			t.Errorf("LooksLikePrivateKey(%.60q) = %v, want %v", c.text, got, c.want)
		}
	}
}

func FuzzLooksLikePrivateKey(f *testing.F) {
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nabc"))
	f.Add([]byte(`-----BEGIN PRIVATE KEY-----\n\r\n`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if LooksLikePrivateKey(b) && !strings.Contains(string(b), "PRIVATE KEY") && !strings.HasPrefix(string(b), "PuTTY") {
			t.Fatalf("%q holds no key", b)
		}
	})
}
