package api

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"strings"
)

// Token is what the TCP door asks for. It shows itself where it is handed over, in its file and in the Authorization header,
// nowhere else.
type Token string

// String hides the token.
func (t Token) String() string {
	if t == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the token from %#v.
func (t Token) GoString() string { return t.String() }

// LogValue hides the token from logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// A token that is given away is "aplomb_", eight characters that name it, "_", 52 that hold 256 random bits, and seven that
// hold a checksum over all before: whoever finds one in a log or a repository can tell what it is, and a typo is told from a
// token that opens nothing.
const (
	tokenMark   = "aplomb_"
	tokenIDLen  = 8
	secretLen   = 52
	checksumLen = 7
	tokenLen    = len(tokenMark) + tokenIDLen + 1 + secretLen + checksumLen
)

// tokenText writes five bits a character: none that two people read differently, none at which a double click stops.
var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// mintToken returns a new token and the characters that name it.
func mintToken() (id string, t Token) {
	random := make([]byte, 5+32)
	rand.Read(random)
	id = tokenText.EncodeToString(random[:5])
	body := tokenMark + id + "_" + tokenText.EncodeToString(random[5:])
	return id, Token(body + checksum(body))
}

func checksum(body string) string {
	return tokenText.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
}

// ParseToken reads a token as token add prints it, and returns the characters that name it. It says what is wrong with others
// without repeating them.
func ParseToken(text string) (id string, t Token, err error) {
	text = strings.TrimSpace(text)
	rest, ok := strings.CutPrefix(text, tokenMark)
	switch {
	case !ok:
		return "", "", errors.New("it does not begin with " + tokenMark)
	case len(text) != tokenLen:
		return "", "", errors.New("it is cut short, or there is something at its end")
	case rest[tokenIDLen] != '_' || strings.Trim(rest[:tokenIDLen]+rest[tokenIDLen+1:], "abcdefghijklmnopqrstuvwxyz234567") != "":
		return "", "", errors.New("it holds a character that no token has")
	case checksum(text[:tokenLen-checksumLen]) != text[tokenLen-checksumLen:]:
		return "", "", errors.New("its checksum does not fit: a character is wrong")
	}
	return rest[:tokenIDLen], Token(text), nil
}
