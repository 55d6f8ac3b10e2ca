package api

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTokensAreReadBackAndMistakesInThemAreNamed(t *testing.T) {
	t.Parallel()
	id, token := mintToken()
	text := string(token)
	got, same, err := ParseToken(" " + text + "\n")
	if err != nil || got != id || same != token || len(text) != tokenLen {
		t.Fatalf("ParseToken of a new token = %q, %t, %v", got, same == token, err)
	}
	if _, other := mintToken(); other == token {
		t.Error("two tokens are the same")
	}
	for bad, want := range map[string]string{
		"":                             "begin with",
		"hunter2":                      "begin with",
		strings.ToUpper(text):          "begin with",
		text[:len(text)-1]:             "cut short",
		text + "x":                     "cut short",
		text[:15] + "-" + text[16:]:    "character that no token has",
		text[:30] + "0" + text[31:]:    "character that no token has",
		text[:30] + "\x00" + text[31:]: "character that no token has",
		flipped(text, 8):               "checksum",
		flipped(text, 40):              "checksum",
		flipped(text, len(text)-1):     "checksum",
	} {
		id, token, err := ParseToken(bad)
		if err == nil || !strings.Contains(err.Error(), want) || id != "" || token != "" {
			t.Errorf("ParseToken(%q) = %q, %t, %v, want an error with %q", bad, id, token != "", err, want)
		}
		if err != nil && len(bad) > 8 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error repeats what it read: %v", err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v %s %v", token, token, token, token, slog.AnyValue(token).Resolve()); strings.Contains(shown, text) {
		t.Errorf("the token shows itself: %s", shown)
	}
}

// flipped returns text with another letter at i.
func flipped(text string, i int) string {
	c := byte('a')
	if text[i] == c {
		c = 'b'
	}
	return text[:i] + string(c) + text[i+1:]
}

func FuzzParseToken(f *testing.F) {
	_, token := mintToken()
	for _, seed := range []string{"", "aplomb_", string(token), string(token)[1:], strings.Repeat("aplomb_", 11), strings.Repeat("\xff", tokenLen), "aplomb_" + strings.Repeat("_", tokenLen-7)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, token, err := ParseToken(text)
		if err != nil {
			if id != "" || token != "" {
				t.Errorf("ParseToken(%q) fails and returns %q", text, id)
			}
			return
		}
		if len(token) != tokenLen || string(token) != strings.TrimSpace(text) || len(id) != tokenIDLen || !strings.HasPrefix(string(token), tokenMark+id+"_") {
			t.Errorf("ParseToken(%q) = %q, a token of %d bytes", text, id, len(token))
		}
	})
}
