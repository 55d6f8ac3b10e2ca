package main

import (
	"reflect"
	"slices"
	"strings"
)

// key is one key of aplomb.toml or machine.toml, as people read of it.
type key struct {
	name    string // "app.path" inside a table
	kind    reflect.Type
	means   string
	unset   string // what holds where it is not there
	example string
}

// keysOf returns the keys of a struct of settings, in its order, with what texts says of them.
func keysOf(settings reflect.Type, prefix string, texts map[string]keyText) []key {
	var out []key
	for i := range settings.NumField() {
		f := settings.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		name = prefix + name
		t := texts[name]
		out = append(out, key{name: name, kind: f.Type, means: t.means, unset: t.unset, example: t.example})
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			out = append(out, keysOf(f.Type.Elem(), name+".", texts)...)
		}
	}
	return out
}

// keyText is what is said of a key.
type keyText struct{ means, unset, example string }

// projectKeys are the keys of aplomb.toml.
func projectKeys() []key {
	return keysOf(reflect.TypeFor[settings](), "", map[string]keyText{
		"site":          {"the site's name: 1 to 63 of a-z, 0-9 and -", "the only site there is, or this folder's name", `"shop"`},
		"hosts":         {"the hosts of the site, for the deploy that creates it", "SITE.localhost", `["shop.example.com"]`},
		"dir":           {"the folder with the built output, inside the project", "what the framework's configuration file tells", `"dist"`},
		"framework":     {"the framework, which decides which file names are hashed", "told by the names of the built files", `"vite"`},
		"fallback":      {"the document that answers navigations to unknown paths, or \"none\"", "index.html where it is the only document and there is no 404.html", `"/index.html"`},
		"hashed":        {"more paths whose names change with their content", "what the framework's pattern tells", `["/static/**"]`},
		"clean_urls":    {"whether /about answers with about.html", "true", `true`},
		"allow_secrets": {"paths that look like secrets and are public on purpose", "none", `["/.well-known/test.pem"]`},

		"app":              {"a path prefix that an app behind the files answers; a table for each, [[app]]", "no app", ``},
		"app.path":         {"the prefix: \"/api\" takes /api and all below it; \"/\" takes what no file answers", "it has to be there", `"/api"`},
		"app.to":           {"the app's addresses", "it has to be there", `["127.0.0.1:3000"]`},
		"app.health":       {"the path that a target answers with 2xx or 3xx before it gets a visitor", `"/"`, `"/up"`},
		"app.strip_prefix": {"whether the prefix is taken off what the app is asked for", "false", `true`},
		"app.timeout":      {"how long the app may think before its answer begins, in seconds, at most 3600", "60", `120`},
	})
}

// machineKeysDoc are the keys of machine.toml.
func machineKeysDoc() []key {
	return keysOf(reflect.TypeFor[machineSettings](), "", map[string]keyText{
		"listen":     {"addresses for HTTP", `["` + defaultListen + `"], unless there is one for HTTPS`, `[":80"]`},
		"listen_tls": {"addresses for HTTPS, with HTTP/2", "none", `[":443"]`},
		"cert":       {"the file with the certificate for HTTPS, PEM", "none", `"/etc/aplomb/cert.pem"`},
		"key":        {"the file with the certificate's key, PEM", "none", `"/etc/aplomb/key.pem"`},
		"api":        {"the address of the API", `"` + defaultAPI + `"`, `"127.0.0.1:9400"`},
		"access_log": {"the file of the access record, relative to the data folder, or \"off\"", `"` + defaultAccessLog + `"`, `"/var/log/aplomb/access.log"`},

		"certs":          {"more certificates; a table for each, [[certs]]", "none", ``},
		"certs.cert":     {"the file with a certificate, PEM", "it has to be there", `"/etc/aplomb/blog.pem"`},
		"certs.key":      {"the file with its key, PEM", "it has to be there", `"/etc/aplomb/blog.key"`},
		"acme":           {"whether certificates are got and renewed by themselves", "false", `true`},
		"acme_email":     {"where the certificate authority can reach you", "none", `"ops@example.com"`},
		"acme_ca":        {"the certificate authority's directory URL", "Let's Encrypt", `"https://ca.internal/directory"`},
		"acme_ca_roots":  {"the file with the roots that the authority's own address is trusted by, PEM", "the system's", `"/etc/aplomb/ca.pem"`},
		"https_redirect": {"whether http:// leads to https:// for hosts that have a certificate", "true", `false`},
	})
}

// kindText names a type as people do.
func kindText(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "whole number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "tables"
		}
		return "list of texts"
	}
	return "text"
}

// schemaOf returns the JSON Schema (draft 4, as editors' TOML plugins read it) of a file with these keys.
func schemaOf(title string, keys []key) map[string]any {
	properties := map[string]any{}
	for _, k := range keys {
		table, name, nested := strings.Cut(k.name, ".")
		into := properties
		if nested {
			into = properties[table].(map[string]any)["items"].(map[string]any)["properties"].(map[string]any)
		} else {
			name = k.name
		}
		p := map[string]any{"description": k.means + ". Unset: " + k.unset + "."}
		switch kindText(k.kind) {
		case "true or false":
			p["type"] = "boolean"
		case "whole number":
			p["type"] = "integer"
		case "list of texts":
			p["type"], p["items"] = "array", map[string]any{"type": "string"}
		case "tables":
			required := []string{}
			for _, inner := range keys {
				if t, n, ok := strings.Cut(inner.name, "."); ok && t == k.name && inner.unset == "it has to be there" {
					required = append(required, n)
				}
			}
			slices.Sort(required)
			p["type"], p["items"] = "array", map[string]any{"type": "object", "properties": map[string]any{}, "additionalProperties": false, "required": required}
		default:
			p["type"] = "string"
		}
		into[name] = p
	}
	return map[string]any{
		"$schema": "http://json-schema.org/draft-04/schema#", "title": title, "type": "object",
		"properties": properties, "additionalProperties": false,
	}
}
