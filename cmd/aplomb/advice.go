package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aplomb"
	"aplomb/release"
)

// siteFlag returns the flags that a command which people are told to run needs to reach the same site of the same server.
func (c *call) siteFlag(site aplomb.SiteName) string {
	flags := ""
	if site != "" && !c.meant(site) {
		flags = " --site " + string(site)
	}
	return flags + c.apiFlag()
}

func (c *call) apiFlag() string {
	if c.flags.api == "" {
		return ""
	}
	return " --api " + shellWord(c.flags.api)
}

// next makes what a line says after "next: " work when it is pasted here.
func (c *call) next(line string, site aplomb.SiteName) string {
	const mark = "next: "
	i := strings.LastIndex(line, mark)
	if i < 0 {
		return line
	}
	return line[:i+len(mark)] + strings.ReplaceAll(c.advise(line[i+len(mark):], site), "\n", ", ")
}

// meant reports whether a command that is run here without --site means this site.
func (c *call) meant(site aplomb.SiteName) bool {
	if c.flags.site != "" || c.flags.config != "" {
		return false
	}
	name, err := c.namedSite()
	if name == "" {
		return err == nil && c.server != nil && c.server.only
	}
	return name == site
}

// pasteable returns an error whose advice works when it is pasted here. Where a site was named that there is not, it says which
// one was probably meant.
func (c *call) pasteable(e *aplomb.Error) *aplomb.Error {
	out := *e
	site, drop := aplomb.SiteName(c.flags.site), []string(nil)
	if c.server != nil && c.server.site != "" {
		site = c.server.site
	}
	switch e.Code {
	case aplomb.CodeNoSite:
		c.nameSites(&out, site)
		site = ""
	case aplomb.CodeHosts:
		drop = []string{"host"}
	}
	if c.ran {
		out.Do = strings.Replace(out.Do, " COMMAND", " "+c.typed(nil, quoted(c.cmd.Flags().Args())), 1)
	}
	out.Do = c.advise(out.Do, site, drop...)
	out.Production = strings.ReplaceAll(c.advise(out.Production, site), "\n", " ")
	return &out
}

// nameSites completes an error about a site that there is not with those there are.
func (c *call) nameSites(e *aplomb.Error, wanted aplomb.SiteName) {
	if c.server == nil || wanted == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), productionWithin) // the command's own may have ended
	defer cancel()
	sites, err := c.server.client.Sites(ctx)
	if err != nil || len(sites) == 0 {
		return
	}
	names := siteNames(sites)
	e.Why = "the sites are " + listText(names)
	if len(names) == 1 {
		e.Why = "the only site is " + names[0]
	}
	if near := nearest(string(wanted), names); near != "" {
		e.Why, e.Do = fmt.Sprintf("did you mean %s? %s", near, sentence(e.Why)), "name one: --site "+near
	}
}

func siteNames(sites []release.SiteStatus) []string {
	var names []string
	for _, st := range sites {
		names = append(names, string(st.Site))
	}
	return names
}

// onServer names the server that was asked, for the end of a sentence.
func (c *call) onServer() string {
	if c.server == nil {
		return ""
	}
	ep := c.server.client.Endpoint()
	if ep.API == "" {
		return ", on " + shortPath(ep.Socket)
	}
	return ", on " + ep.API
}

// typed returns the command as it was typed, so far as it was understood, with other arguments, without some
// flags, and with words added.
func (c *call) typed(without []string, args []string, words ...string) string {
	line := append([]string{c.path(c.cmd)}, args...)
	c.cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "json" || f.Name == "help" || slices.Contains(without, f.Name) {
			return
		}
		switch many, ok := f.Value.(pflag.SliceValue); {
		case ok:
			for _, v := range many.GetSlice() {
				line = append(line, "--"+f.Name, shellWord(v))
			}
		case f.NoOptDefVal != "":
			line = append(line, "--"+f.Name)
		default:
			line = append(line, "--"+f.Name, shellWord(f.Value.String()))
		}
	})
	return strings.Join(append(line, words...), " ")
}

// self is how this program is called from here: by its name where that finds it, else as it was called.
func (c *call) self() string { return cmp.Or(c.name, c.root.Name()) }

// path returns the words that call a command from here.
func (c *call) path(cmd *cobra.Command) string {
	return c.self() + strings.TrimPrefix(cmd.CommandPath(), c.root.Name())
}

func quoted(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = shellWord(a)
	}
	return out
}

// advise makes the commands in a text for people work when they are pasted where this one was run: they get the server and the
// site that this one was told, and one that says to run this one again gets everything else that was typed. What is said after
// a command stands in a line of its own.
func (c *call) advise(text string, site aplomb.SiteName, drop ...string) string {
	if c.root == nil {
		return text
	}
	if flag, ok := strings.CutPrefix(text, "name one: --"); ok {
		name, _, _ := strings.Cut(flag, " ")
		return c.typed([]string{name}, quoted(c.cmd.Flags().Args()), "--"+flag)
	}
	name := c.root.Name()
	var b strings.Builder
	for {
		at := strings.Index(text, name+" ")
		if at < 0 {
			return b.String() + text
		}
		before := text[:at]
		if said, ok := strings.CutSuffix(before, ", or "); ok {
			before = said + "\nor: "
		}
		b.WriteString(before)
		a := c.readAdvice(text[at:])
		if a.cmd == nil || at > 0 && !strings.ContainsRune(" \n:(,;", rune(text[at-1])) {
			if a.local && (at == 0 || len(a.flags) > 0) { // in "the user that runs aplomb up" it is a word of the sentence
				b.WriteString(c.self())
			} else {
				b.WriteString(name)
			}
			text = text[at+len(name):]
			continue
		}
		b.WriteString(c.complete(a, site, drop))
		text = aside(a.rest)
	}
}

// aside puts what is said of a command, not to whoever runs it, into the next line.
func aside(rest string) string {
	if rest == "." {
		return ""
	}
	if said, ok := strings.CutPrefix(rest, " ("); ok {
		return "\n" + strings.Replace(said, ")", "", 1)
	}
	if said, ok := strings.CutPrefix(rest, ", or "); ok {
		return "\nor: " + said
	}
	if strings.HasPrefix(rest, " with ") {
		return "\n" + rest[1:]
	}
	for _, sep := range []string{": ", "; ", ", ", ". "} {
		if said, ok := strings.CutPrefix(rest, sep); ok {
			return "\n" + said
		}
	}
	return rest
}

// advised is a command in a text.
type advised struct {
	cmd   *cobra.Command // nil where it is none that asks a server
	local bool           // it is one that asks none
	args  []string       // as they stand there
	flags []string       // the same: --name, or --name value
	rest  string         // the text after it
}

// ofNoServer and ofNoSite are commands that ask no server, and that take no --site.
func ofNoServer() []string {
	return []string{"up", "init", "version", "completion", "config", "install", "restore"}
}

func ofNoSite() []string {
	return []string{"sites", siteCommand, "audit", "collect", "backup", "log-level", "metrics", "login", "logout", "whoami", "token"}
}

// siteCommand is the command whose commands take a site as their first argument.
const siteCommand = "site"

// adviceWord is a word of a command: one in quotation marks is one word.
var adviceWord = regexp.MustCompile(`^ ("[^"]*"|'[^']*'|[^\s"]+)`)

// take takes the next word off the text after a command; last says that punctuation follows.
func (a *advised) take() (word string, last bool) {
	m := adviceWord.FindString(a.rest)
	if m == "" {
		return "", true
	}
	word = strings.TrimRight(m[1:], ",;:.)")
	if word == "" {
		return "", true
	}
	return word, len(word) < len(m)-1
}

// readAdvice reads the command that a text begins with, as far as what follows can only be its own.
func (c *call) readAdvice(text string) advised {
	a := advised{rest: text[len(c.root.Name()):]}
	cmd, top := c.root, ""
	for last := false; !last; {
		var word string
		if word, last = a.take(); word == "" {
			break
		}
		flag, isFlag := strings.CutPrefix(word, "--")
		sub := subcommand(cmd, word)
		switch {
		case sub != nil && a.args == nil && a.flags == nil:
			if cmd = sub; top == "" {
				top = word
			}
		case cmd == c.root && isFlag:
			a.local, a.flags = true, []string{word}
			return a
		case cmd == c.root:
			return a
		case isFlag:
			a.rest = a.rest[1+len(word):]
			if f := lookup(cmd, flag); f != nil && f.NoOptDefVal == "" && !last && !strings.Contains(flag, "=") {
				var value string
				value, last = a.take()
				a.rest = a.rest[min(len(a.rest), 1+len(value)):]
				word += " " + value
			}
			a.flags = append(a.flags, word)
			continue
		case argument.MatchString(word), top == siteCommand && a.args == nil:
			a.args = append(a.args, word)
		default:
			last, word = true, ""
		}
		if word != "" {
			a.rest = a.rest[1+len(word):]
		}
	}
	if cmd != c.root && !slices.Contains(ofNoServer(), top) {
		a.cmd = cmd
	}
	a.local = a.cmd == nil
	if cmd == c.cmd {
		a.rest = strings.TrimPrefix(a.rest, " again")
	}
	return a
}

func subcommand(cmd *cobra.Command, name string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == name {
			return sub
		}
	}
	return nil
}

// lookup finds a flag of a command, also one that all have, before the command was ever run.
func lookup(cmd *cobra.Command, name string) *pflag.Flag {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f
	}
	return cmd.Root().PersistentFlags().Lookup(name)
}

// argument is what cannot be a word of the sentence around a command: a path, a release, a quoted text, a setting, a word in
// capitals that stands for something.
var argument = regexp.MustCompile(`^(".*"|'.*'|\.|.*/.*|r\d+|rN|[A-Z]+|…|[\w.-]+=.*)$`)

// placeholder is what people have to put something in for.
var placeholder = regexp.MustCompile(`^([A-Z]+|rN|…)$`)

// complete returns an advised command with all that it needs.
func (c *call) complete(a advised, site aplomb.SiteName, drop []string) string {
	if a.gives("help") {
		return c.path(a.cmd) + " --help"
	}
	if c.cmd != nil && a.cmd == c.cmd {
		return c.again(a, drop)
	}
	top := a.cmd
	for top.Parent() != c.root {
		top = top.Parent()
	}
	if slices.Contains(ofNoSite(), top.Name()) || a.gives("site") {
		site = ""
	}
	line := slices.Concat([]string{c.path(a.cmd)}, a.args, a.flags)
	if a.cmd.Name() == "deploy" && site != "" && c.meant(site) && c.server != nil && c.server.only { // the only site is not every folder's
		line = append(line, "--site", string(site))
	}
	where := c.siteFlag(site)
	if a.gives("api") || a.gives("dir") { // --dir is for a command that asks no server
		where = strings.TrimSuffix(where, c.apiFlag())
	}
	return strings.Join(line, " ") + where
}

func (a advised) gives(flag string) bool {
	return slices.ContainsFunc(a.flags, func(f string) bool { return f == "--"+flag || strings.HasPrefix(f, "--"+flag+" ") })
}

// again returns the command at hand, to be run once more. Arguments that were not understood are not said again.
func (c *call) again(a advised, drop []string) string {
	args := a.args
	if c.ran && (len(args) == 0 || slices.ContainsFunc(args, placeholder.MatchString)) && c.cmd.Flags().NArg() > 0 {
		args = quoted(c.cmd.Flags().Args())
	}
	without := slices.Clone(drop)
	c.cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, many := f.Value.(pflag.SliceValue); a.gives(f.Name) && (!many || f.Name == "host") {
			without = append(without, f.Name)
		}
	})
	return c.typed(without, args, a.flags...)
}
