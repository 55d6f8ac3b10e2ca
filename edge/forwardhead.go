package edge

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
)

const (
	// answerHeadMost bounds the head of an app's answer. It is also the size of the buffer it is read into.
	answerHeadMost = 32 << 10
	// answerFieldsMost bounds the number of its fields.
	answerFieldsMost = 200
)

// errGarbage is what an app answers that is not HTTP as RFC 9112 writes it. It is refused, never repaired: what this edge
// and somebody behind or before it could read in two ways is not passed on.
var errGarbage = errors.New("the app's answer is not HTTP")

func garbage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errGarbage, fmt.Sprintf(format, args...))
}

// framing says where the body of an answer ends.
type framing uint8

const (
	bodyNone    framing = iota // there is none
	bodyLength                 // after so many bytes
	bodyChunked                // after the last chunk
	bodyToClose                // with the connection
)

// answerHead is the head of an app's answer.
type answerHead struct {
	status  int
	fields  []answerField // in their order
	framing framing
	length  int64  // of bodyLength
	upgrade string // what a 101 changes to, "" for none
	// keep says that the connection can take another request after the body.
	keep bool
	// named are the fields that Connection names: they are the connection's, not the answer's.
	named []string
	// declared is what Content-Length says, also where no body follows; -1 where it is not there.
	declared int64
}

// answerField is a field with its name as net/http keys it.
type answerField struct{ name, value string }

// headEnd returns how long the head at the beginning of b is, 0 where its end is not there yet. Looking goes on at from.
func headEnd(b []byte, from int) int {
	if i := bytes.Index(b[max(0, from-3):], []byte("\r\n\r\n")); i >= 0 {
		return max(0, from-3) + i + 4
	}
	return 0
}

// parseHead reads a whole head, which ends in an empty line. h's slices are used again.
func parseHead(text string, method string, h *answerHead) error {
	*h = answerHead{fields: h.fields[:0], named: h.named[:0], declared: -1}
	line, rest, _ := strings.Cut(text, "\r\n")
	minor, err := h.parseStatus(line)
	if err != nil {
		return err
	}
	h.keep = minor == 1
	chunked := false
	for {
		if line, rest, _ = strings.Cut(rest, "\r\n"); line == "" {
			break
		}
		name, value, err := parseField(line)
		if err != nil {
			return err
		}
		if len(h.fields) >= answerFieldsMost {
			return garbage("more than %d fields", answerFieldsMost)
		}
		h.fields = append(h.fields, answerField{name, value})
		switch name {
		case "Content-Length":
			err = h.parseLength(value)
		case "Transfer-Encoding":
			if chunked || minor == 0 || !strings.EqualFold(value, "chunked") {
				err = garbage("Transfer-Encoding %.40q", value)
			}
			chunked = true
		case "Connection":
			err = h.parseConnection(value)
		case "Upgrade":
			h.upgrade = value
		}
		if err != nil {
			return err
		}
	}
	if rest != "" {
		return garbage("an empty line inside the head")
	}
	return h.frame(method, chunked)
}

// parseStatus reads the status line and returns the minor version.
func (h *answerHead) parseStatus(line string) (minor int, err error) {
	// HTTP/1.1 200 reason; the reason and the space before it may be missing.
	if len(line) < len("HTTP/1.1 200") || line[:7] != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return 0, garbage("status line %.40q", line)
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return 0, garbage("status line %.40q", line)
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || h.status > 599 || len(line) > 12 && line[12] != ' ' {
		return 0, garbage("status line %.40q", line)
	}
	for i := 12; i < len(line); i++ {
		if !fieldByte(line[i]) {
			return 0, garbage("status line %.40q", line)
		}
	}
	return int(line[7] - '0'), nil
}

// parseField reads "Name: value".
func parseField(line string) (name, value string, err error) {
	colon := strings.IndexByte(line, ':')
	if colon <= 0 {
		return "", "", garbage("field %.40q", line)
	}
	name, value = line[:colon], line[colon+1:]
	canonical, upper := true, true
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !tokenByte(c) {
			return "", "", garbage("field name %.40q", name)
		}
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			canonical = false
		}
		upper = c == '-'
	}
	for i := 0; i < len(value); i++ {
		if !fieldByte(value[i]) {
			return "", "", garbage("field %s has the byte %#x", name, value[i])
		}
	}
	if !canonical {
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	return name, strings.Trim(value, " \t"), nil
}

// parseLength reads Content-Length. A second one is refused, the same value or not.
func (h *answerHead) parseLength(value string) error {
	if h.declared >= 0 || value == "" || len(value) > 18 {
		return garbage("Content-Length %.40q", value)
	}
	n := int64(0)
	for i := 0; i < len(value); i++ {
		if value[i] < '0' || value[i] > '9' {
			return garbage("Content-Length %.40q", value)
		}
		n = n*10 + int64(value[i]-'0')
	}
	h.declared = n
	return nil
}

// parseConnection reads the list of options of Connection.
func (h *answerHead) parseConnection(value string) error {
	for option := range strings.SplitSeq(value, ",") {
		option = strings.Trim(option, " \t")
		switch {
		case option == "":
		case !isToken(option):
			return garbage("Connection %.40q", value)
		case strings.EqualFold(option, "close"):
			h.keep = false
		case strings.EqualFold(option, "keep-alive"), strings.EqualFold(option, "upgrade"):
		default:
			h.named = append(h.named, textproto.CanonicalMIMEHeaderKey(option))
		}
	}
	return nil
}

// frame decides where the body ends, RFC 9112 §6.3.
func (h *answerHead) frame(method string, chunked bool) error {
	if chunked && h.declared >= 0 {
		return garbage("both Transfer-Encoding and Content-Length")
	}
	switch {
	case h.status < 200, h.status == 204, h.status == 304, method == "HEAD":
		h.framing = bodyNone
		// Some send a body all the same, which would be read as the next answer.
		if h.status < 200 || h.status == 204 {
			if chunked || h.declared > 0 {
				return garbage("a body with status %d", h.status)
			}
		}
	case chunked:
		h.framing = bodyChunked
	case h.declared >= 0:
		h.framing, h.length = bodyLength, h.declared
	default:
		h.framing, h.keep = bodyToClose, false
	}
	return nil
}

// fieldByte reports whether a byte may stand in a field's value or a reason: no control character but the tab.
func fieldByte(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

func tokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}
