package edge

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// An access log is written once a second, or when so many bytes wait. More than waitingMost never wait: where the disk
// does not keep up, records are lost and counted, and no visitor waits for it.
const (
	writeEvery  = time.Second
	writeAt     = 64 << 10
	waitingMost = 4 << 20
)

// AccessLogConfig says where an access log lies and how much of it is kept.
type AccessLogConfig struct {
	// File is the log's path. Its folder is made if it is not there. Older parts are File.1, File.2, …
	File string
	// Bytes is the size at which a new part is begun.
	Bytes int64
	// Parts is how many older parts are kept.
	Parts int
}

// AccessLog writes records as lines of JSON.
type AccessLog struct {
	lg   *slog.Logger
	cfg  AccessLogConfig
	kick chan struct{}

	mu      sync.Mutex // guards the rest
	waiting []byte
	spare   []byte // what was written last, to be filled again
	lost    int64

	// owned by Run
	file    *os.File
	size    int64
	failing bool
}

// OpenAccessLog returns a log that writes once Run does. A file that cannot be opened is tried again at each write.
func OpenAccessLog(lg *slog.Logger, cfg AccessLogConfig) *AccessLog {
	return &AccessLog{lg: lg, cfg: cfg, kick: make(chan struct{}, 1)}
}

// Record takes one record. It never blocks.
func (l *AccessLog) Record(r Record) {
	l.mu.Lock()
	if len(l.waiting) > waitingMost {
		l.lost++
	} else {
		l.waiting = appendRecord(l.waiting, r)
	}
	full := len(l.waiting) > writeAt
	l.mu.Unlock()
	if full {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// Lost is how many records were not written since the start.
func (l *AccessLog) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Run writes until ctx ends, and then what is left.
func (l *AccessLog) Run(ctx context.Context) error {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.write()
			if l.file != nil {
				return l.file.Close()
			}
			return nil
		case <-tick.C:
		case <-l.kick:
		}
		l.write()
	}
}

// write writes what waits. Records that cannot be written are lost, and that is said once until it works again.
func (l *AccessLog) write() {
	l.mu.Lock()
	lines := l.waiting
	l.waiting, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	defer func() {
		if cap(lines) <= 4*writeAt {
			l.mu.Lock()
			l.spare = lines[:0]
			l.mu.Unlock()
		}
	}()
	if len(lines) == 0 {
		return
	}
	err := l.append(lines)
	if err == nil {
		l.failing = false
		return
	}
	n := int64(0)
	for _, c := range lines {
		if c == '\n' {
			n++
		}
	}
	l.mu.Lock()
	l.lost += n
	l.mu.Unlock()
	if !l.failing {
		l.failing = true
		l.lg.Error("access log not written", "file", l.cfg.File, "records", n, "err", err)
	}
}

func (l *AccessLog) append(lines []byte) error {
	if l.file != nil && l.size > 0 && l.size+int64(len(lines)) > l.cfg.Bytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if l.file == nil || l.moved() {
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(lines)
	if err != nil && n > 0 {
		// A part of a line would make the next one unreadable.
		err = fmt.Errorf("%w (%v)", err, l.file.Truncate(l.size))
		n = 0
	}
	l.size += int64(n)
	return err
}

// moved reports whether another program has taken the file away, as log rotation does.
func (l *AccessLog) moved() bool {
	named, err := os.Stat(l.cfg.File)
	if err != nil {
		return true
	}
	opened, err := l.file.Stat()
	return err != nil || !os.SameFile(named, opened)
}

func (l *AccessLog) open() error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	if err := os.MkdirAll(filepath.Dir(l.cfg.File), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(l.cfg.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, info.Size()
	return nil
}

// rotate makes the file the newest of the older parts.
func (l *AccessLog) rotate() error {
	l.file.Close()
	l.file = nil
	part := func(n int) string { return l.cfg.File + "." + strconv.Itoa(n) }
	for n := l.cfg.Parts - 1; n >= 1; n-- {
		if err := os.Rename(part(n), part(n+1)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if l.cfg.Parts < 1 {
		return os.Remove(l.cfg.File)
	}
	return os.Rename(l.cfg.File, part(1))
}

func appendRecord(b []byte, r Record) []byte {
	b = append(b, `{"at":"`...)
	b = r.At.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","site":`...)
	b = appendQuoted(b, string(r.Site))
	b = append(b, `,"release":`...)
	b = appendQuoted(b, string(r.Release))
	b = append(b, `,"host":`...)
	b = appendQuoted(b, string(r.Host))
	b = append(b, `,"method":`...)
	b = appendQuoted(b, r.Method)
	b = append(b, `,"path":`...)
	b = appendQuoted(b, r.Path)
	b = append(b, `,"proto":`...)
	b = appendQuoted(b, r.Proto)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, r.Bytes, 10)
	b = append(b, `,"ms":`...)
	b = strconv.AppendFloat(b, float64(r.Took.Microseconds())/1000, 'f', -1, 64)
	if r.Cause != CauseNone {
		b = append(b, `,"cause":`...)
		b = appendQuoted(b, string(r.Cause))
	}
	return append(b, "}\n"...)
}

// appendQuoted appends s as a JSON string. What is not UTF-8, and what could mislead a terminal, is escaped.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return append(b, '"')
}
