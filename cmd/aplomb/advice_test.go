package main

import (
	"os"
	"path/filepath"
	"testing"

	"aplomb"
)

func TestAdviceWorksWhenItIsPastedAsItIs(t *testing.T) {
	t.Parallel()
	typed := []string{"deploy", "./my dist", "--site", "shop", "--api", "127.0.0.1:9401", "--host", "a.localhost", "--allow", "/.env", "--note", "it's new", "--json"}
	const again = `aplomb deploy './my dist' --allow /.env --api 127.0.0.1:9401 --host a.localhost --note 'it'\''s new' --site shop`
	const where = ` --site shop --api 127.0.0.1:9401`
	cases := []struct{ text, want string }{
		{"aplomb status", "aplomb status" + where},
		{"aplomb rollback, or aplomb promote r3 --reason \"…\"", "aplomb rollback" + where + "\nor: aplomb promote r3 --reason \"…\"" + where},
		{"aplomb status (it lists the sites)", "aplomb status" + where + "\nit lists the sites"},
		{"aplomb recover; aplomb rollback works meanwhile", "aplomb recover" + where + "\naplomb rollback" + where + " works meanwhile"},
		{"aplomb deploy again: what has arrived is not sent twice", again + "\nwhat has arrived is not sent twice"},
		{"take it out, or: aplomb deploy --allow /key.pem", "take it out, or: " + again + " --allow /key.pem"},
		{"aplomb deploy DIR with a good release, or aplomb offline --reason \"…\"", again + "\nwith a good release\nor: aplomb offline --reason \"…\"" + where},
		{"aplomb deploy dist/app", "aplomb deploy dist/app" + again[len("aplomb deploy './my dist'"):]},
		{"aplomb deploy DIR --site NAME", `aplomb deploy './my dist' --allow /.env --api 127.0.0.1:9401 --host a.localhost --note 'it'\''s new' --site NAME`},
		{"aplomb site show shop", "aplomb site show shop --api 127.0.0.1:9401"},
		{"aplomb sites", "aplomb sites --api 127.0.0.1:9401"},
		{"run the command as the user that runs aplomb up", "run the command as the user that runs aplomb up"},
		{"correct [[app]] in aplomb.toml", "correct [[app]] in aplomb.toml"},
		{"aplomb deploy --help", "aplomb deploy --help"},
		{"name one: --site blog", again[:len(again)-len(" --site shop")] + " --site blog"},
	}
	for _, tt := range cases {
		c := &call{getenv: env()}
		c.root = c.rootCommand(typed)
		cmd, args, err := c.root.Find(typed)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		c.cmd, c.ran = cmd, true
		if got := c.advise(tt.text, "shop"); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

func TestAdviceCallsTheProgramAsItWasCalled(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"Undo: aplomb undo":               "Undo: ./aplomb undo",
		"aplomb --help":                   "./aplomb --help",
		"aplomb version":                  "./aplomb version",
		"aplomb up --dir D --api X":       "./aplomb up --dir D --api X",
		"aplomb recover, or aplomb sites": "./aplomb recover\nor: ./aplomb sites",
		"as the user that runs aplomb up": "as the user that runs aplomb up",
		"aplomb recover --dir D":          "./aplomb recover --dir D",
	}
	for text, want := range cases {
		c := &call{getenv: env(), name: "./aplomb"}
		c.root = c.rootCommand(nil)
		c.cmd = c.root
		if got := c.advise(text, ""); got != want {
			t.Errorf("advise(%q) = %q, want %q", text, got, want)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "aplomb")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := calledAs(file); got != file {
		t.Errorf("calledAs(%q) = %q, want the path: no other way leads to it", file, got)
	}
	if got := calledAs("aplomb"); got != "aplomb" {
		t.Errorf("calledAs(aplomb) = %q", got)
	}
}

func TestListsReadAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	cases := map[string][]aplomb.SiteName{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}}
	for want, names := range cases {
		if got := listText(names); got != want {
			t.Errorf("listText(%q) = %q, want %q", names, got, want)
		}
	}
}

func FuzzAdvise(f *testing.F) {
	f.Add("aplomb status (it lists, or aplomb deploy --allow")
	f.Add("aplomb deploy --site ")
	f.Add("aplomb site set aplomb  again: x")
	f.Fuzz(func(t *testing.T, text string) {
		c := &call{getenv: env()}
		c.root = c.rootCommand(nil)
		c.cmd = c.root
		c.advise(text, "shop")
	})
}
