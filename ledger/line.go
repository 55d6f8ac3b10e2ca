package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"aplomb"
)

// Schema is the newest format of lines this program reads, and the one it writes.
const Schema = 1

// Limits of what a chain takes. Records are meant to stay below 64 KiB: manifests and files are blobs.
const (
	MaxRecord = 256 << 10
	MaxLine   = 16 << 20
)

// ErrNewer says that a line was written in a newer format. It is whole; this program must not judge or cut it.
var ErrNewer = errors.New("written by a newer Aplomb")

// A line is one JSON object and a newline. It ends in sealKey, the sha-256 over every byte before sealKey, and sealEnd,
// so that each bit of it is either covered by the sum, or part of the sum, or one of the fixed bytes of the end.
const (
	sealKey = `,"sha":"`
	sealEnd = "\"}\n"
	sealLen = len(sealKey) + 2*len(aplomb.Digest{}) + len(sealEnd)
)

type entryLine struct {
	N      int64         `json:"n"`
	Epoch  int64         `json:"epoch"`
	Schema int           `json:"schema"`
	Fact   aplomb.Fact   `json:"fact"`
	Writes []Write       `json:"writes,omitempty"`
	Prev   aplomb.Digest `json:"prev"`
}

// Compose returns the entry that follows head on the site's chain, as it will be read back, and its line. It sets
// fact.N, and fact.Site where that is empty. What can never be stored is of kind aplomb.ErrInvalid.
func Compose(site aplomb.SiteName, head aplomb.Head, fact aplomb.Fact, writes []Write) (Entry, []byte, error) {
	if fact.Site == "" {
		fact.Site = site
	}
	if fact.Site != site {
		return Entry{}, nil, fmt.Errorf("compose a fact of %s: it names site %q: %w", site, fact.Site, aplomb.ErrInvalid)
	}
	if err := checkWrites(writes); err != nil {
		return Entry{}, nil, fmt.Errorf("compose a fact of %s: %w: %w", site, err, aplomb.ErrInvalid)
	}
	fact.N = head.N + 1
	line, err := seal(entryLine{
		N: fact.N, Epoch: max(head.Epoch, 1), Schema: Schema, Fact: fact, Writes: writes, Prev: head.SHA,
	})
	if err != nil {
		return Entry{}, nil, fmt.Errorf("compose a fact of %s: %w: %w", site, err, aplomb.ErrInvalid)
	}
	if len(line) > MaxLine {
		return Entry{}, nil, fmt.Errorf("compose a fact of %s: its line has %d bytes, the limit is %d: %w",
			site, len(line), MaxLine, aplomb.ErrInvalid)
	}
	e, err := ParseEntry(line)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("compose a fact of %s: it cannot be read back: %w", site, err)
	}
	return e, line, nil
}

func checkWrites(writes []Write) error {
	for _, w := range writes {
		switch {
		case w.Key == "" || !utf8.ValidString(w.Key):
			return fmt.Errorf("record %.80q: not a key", w.Key)
		case len(w.Value) > MaxRecord:
			return fmt.Errorf("record %.80q has %d bytes, the limit is %d", w.Key, len(w.Value), MaxRecord)
		case len(w.Value) > 0 && !json.Valid(w.Value):
			return fmt.Errorf("record %.80q is not JSON", w.Key)
		}
	}
	return nil
}

// ParseEntry reads a line, its newline included, and checks every byte of it against its sum. Unknown fields are
// passed over. A line that is not what was written is of kind aplomb.ErrDamaged, one in a newer format ErrNewer.
func ParseEntry(line []byte) (Entry, error) {
	sha, err := unseal(line, MaxLine)
	if err != nil {
		return Entry{}, err
	}
	var l entryLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Entry{}, fmt.Errorf("the line is sealed but not a fact: %w: %w", err, aplomb.ErrDamaged)
	}
	if l.N < 1 || l.Epoch < 1 || l.Fact.N != l.N {
		return Entry{}, fmt.Errorf("the line is sealed but not a fact: n %d, epoch %d, fact %d: %w",
			l.N, l.Epoch, l.Fact.N, aplomb.ErrDamaged)
	}
	return Entry{
		Head: aplomb.Head{Epoch: l.Epoch, N: l.N, SHA: sha},
		Prev: l.Prev, Fact: l.Fact, Writes: l.Writes,
	}, nil
}

// Follows reports, as an error of kind aplomb.ErrDamaged, why e is not the next entry of site's chain after h.
func (e Entry) Follows(site aplomb.SiteName, h aplomb.Head) error {
	switch {
	case e.Fact.Site != site:
		return fmt.Errorf("fact %d belongs to site %q: %w", e.Head.N, e.Fact.Site, aplomb.ErrDamaged)
	case e.Head.N != h.N+1:
		return fmt.Errorf("fact %d stands where fact %d belongs: %w", e.Head.N, h.N+1, aplomb.ErrDamaged)
	case e.Head.Epoch != max(h.Epoch, 1):
		return fmt.Errorf("fact %d has epoch %d, not %d: %w", e.Head.N, e.Head.Epoch, max(h.Epoch, 1), aplomb.ErrDamaged)
	case e.Prev != h.SHA:
		return fmt.Errorf("fact %d does not carry the hash of the fact before it: %w", e.Head.N, aplomb.ErrDamaged)
	}
	return nil
}

// Opening is the line a stretch of a chain opens with: the records and the head before its first fact, so that nothing
// before it needs to be read to know the site's state.
type Opening struct {
	Snapshot
	Site aplomb.SiteName
	// Oldest is the first n of the chain that is kept: 1, unless a recovery had to leave older facts out.
	Oldest int64
	// After is set where a recovery begins: the head of what was kept. Otherwise Head itself continues the chain.
	After *aplomb.Head
}

type openingLine struct {
	Snapshot bool                       `json:"snapshot"`
	Epoch    int64                      `json:"epoch"`
	N        int64                      `json:"n"`
	Schema   int                        `json:"schema"`
	Site     aplomb.SiteName            `json:"site"`
	Oldest   int64                      `json:"oldest"`
	After    *aplomb.Head               `json:"after,omitempty"`
	Head     aplomb.Digest              `json:"head"`
	Records  map[string]json.RawMessage `json:"records"`
}

// ComposeOpening returns the line of o.
func ComposeOpening(o Opening) ([]byte, error) {
	line, err := seal(openingLine{
		Snapshot: true, Epoch: max(o.Head.Epoch, 1), N: o.Head.N, Schema: Schema, Site: o.Site, Oldest: o.Oldest,
		After: o.After, Head: o.Head.SHA, Records: o.Records,
	})
	if err != nil {
		return nil, fmt.Errorf("compose a snapshot of %s: %w", o.Site, err)
	}
	return line, nil
}

// ParseOpening reads a snapshot line as ParseEntry reads a fact's.
func ParseOpening(line []byte) (Opening, error) {
	sha, err := unseal(line, len(line))
	if err != nil {
		return Opening{}, err
	}
	var l openingLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Opening{}, fmt.Errorf("the line %s is sealed but not a snapshot: %w: %w", sha.Short(), err, aplomb.ErrDamaged)
	}
	if !l.Snapshot || l.N < 0 || l.Epoch < 1 || l.Oldest < 1 {
		return Opening{}, fmt.Errorf("the line %s is sealed but not a snapshot: %w", sha.Short(), aplomb.ErrDamaged)
	}
	if l.Records == nil {
		l.Records = map[string]json.RawMessage{}
	}
	return Opening{
		Snapshot: Snapshot{Head: aplomb.Head{Epoch: l.Epoch, N: l.N, SHA: l.Head}, Records: l.Records},
		Site:     l.Site, Oldest: l.Oldest, After: l.After,
	}, nil
}

// Follows reports, as an error of kind aplomb.ErrDamaged, why o does not continue site's chain after h. The zero Head
// stands for "nothing before".
func (o Opening) Follows(site aplomb.SiteName, h aplomb.Head) error {
	if o.Site != site {
		return fmt.Errorf("the snapshot at fact %d belongs to site %q: %w", o.Head.N, o.Site, aplomb.ErrDamaged)
	}
	if o.After != nil {
		if *o.After != h || o.Head.Epoch <= h.Epoch || o.Head.N < h.N || o.Head.SHA != h.SHA {
			return fmt.Errorf("the recovery at %d.%d does not follow fact %d.%d: %w",
				o.Head.Epoch, o.Head.N, h.Epoch, h.N, aplomb.ErrDamaged)
		}
		return nil
	}
	h.Epoch = max(h.Epoch, 1)
	if o.Head != h {
		return fmt.Errorf("the snapshot at fact %d.%d does not carry the hash of fact %d.%d: %w",
			o.Head.Epoch, o.Head.N, h.Epoch, h.N, aplomb.ErrDamaged)
	}
	return nil
}

// seal writes v as a line.
func seal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("}\n"))
	sum := aplomb.Sum(body)
	return append(append(append(body, sealKey...), sum.String()...), sealEnd...), nil
}

// unseal checks the end and the sum of a line, then whether its format is known, and returns the sum.
func unseal(line []byte, limit int) (aplomb.Digest, error) {
	if len(line) > limit {
		return aplomb.Digest{}, fmt.Errorf("the line has %d bytes, the limit is %d: %w", len(line), limit, aplomb.ErrDamaged)
	}
	if len(line) < sealLen || !bytes.HasSuffix(line, []byte(sealEnd)) {
		return aplomb.Digest{}, fmt.Errorf("the line is not whole: %w", aplomb.ErrDamaged)
	}
	body, end := line[:len(line)-sealLen], line[len(line)-sealLen:]
	if !bytes.HasPrefix(end, []byte(sealKey)) {
		return aplomb.Digest{}, fmt.Errorf("the line is not whole: %w", aplomb.ErrDamaged)
	}
	sha, err := aplomb.ParseDigest(string(end[len(sealKey) : len(end)-len(sealEnd)]))
	if err != nil || sha != aplomb.Sum(body) {
		return aplomb.Digest{}, fmt.Errorf("the line does not match its sha-256: %w", aplomb.ErrDamaged)
	}
	var format struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(line, &format); err != nil {
		return aplomb.Digest{}, fmt.Errorf("the line is sealed but not JSON: %w: %w", err, aplomb.ErrDamaged)
	}
	if format.Schema > Schema {
		return aplomb.Digest{}, fmt.Errorf("format %d, this program reads up to %d: %w", format.Schema, Schema, ErrNewer)
	}
	return sha, nil
}
