package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// written runs a log until everything that was recorded is written.
func written(t *testing.T, l *AccessLog, records ...Record) {
	t.Helper()
	for _, r := range records {
		l.Record(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	l.file = nil
}

func record(path string) Record {
	return Record{At: time.Unix(1, 5e6), Site: "shop", Release: "r1", Host: "shop.test", Method: "GET", Path: path, Proto: "HTTP/2.0", Status: 404, Bytes: 7, Took: 1500 * time.Microsecond, Cause: CauseClient}
}

func TestAccessLogIsALineOfJSONForEachRecord(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "log", "access.log")
	l := OpenAccessLog(slog.New(slog.DiscardHandler), AccessLogConfig{File: file, Bytes: 1 << 20, Parts: 2})
	written(t, l, record(`/a"b\`), Record{At: time.Unix(2, 0), Status: 200})
	got, err := os.ReadFile(file)
	want := `{"at":"1970-01-01T00:00:01.005Z","site":"shop","release":"r1","host":"shop.test","method":"GET","path":"/a\"b\\","proto":"HTTP/2.0","status":404,"bytes":7,"ms":1.5,"cause":"client"}
{"at":"1970-01-01T00:00:02.000Z","site":"","release":"","host":"","method":"","path":"","proto":"","status":200,"bytes":0,"ms":0}
`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// FuzzAccessLogLine promises that whatever a request names, its line is one line of JSON that says just that.
func FuzzAccessLogLine(f *testing.F) {
	for _, s := range []string{"/", "/\n", "/\x00\x7f\x9f", "/\xff", "/\u202e", "/ü", `/"`} {
		f.Add(s, "GET")
	}
	f.Fuzz(func(t *testing.T, path, method string) {
		line := appendRecord(nil, Record{Path: path, Method: method})
		var got struct{ Path, Method string }
		if err := json.Unmarshal(line, &got); err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%q: %v", line, err)
		}
		if utf8.ValidString(path) && got.Path != path || utf8.ValidString(method) && got.Method != method {
			t.Errorf("%q %q came back as %q %q", path, method, got.Path, got.Method)
		}
	})
}

func TestAccessLogKeepsSoManyParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "access.log")
	l := OpenAccessLog(slog.New(slog.DiscardHandler), AccessLogConfig{File: file, Bytes: 400, Parts: 2})
	for i := range 20 {
		l.Record(record(fmt.Sprintf("/%d", i)))
		l.write()
	}
	var all strings.Builder
	for _, name := range []string{file + ".2", file + ".1", file} {
		b, err := os.ReadFile(name)
		if err != nil || len(b) > 400 || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		all.Write(b)
	}
	if _, err := os.Stat(file + ".3"); err == nil {
		t.Error("a third part is kept")
	}
	if lines := strings.Split(strings.TrimSpace(all.String()), "\n"); !strings.Contains(lines[len(lines)-1], `"/19"`) || len(lines) < 4 {
		t.Errorf("kept %q", lines)
	}
	l.file.Close()
}

func TestAccessLogThatAnotherProgramMovedIsBegunAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	l := OpenAccessLog(slog.New(slog.DiscardHandler), AccessLogConfig{File: file, Bytes: 1 << 20, Parts: 1})
	l.Record(record("/one"))
	l.write()
	if err := os.Rename(file, file+"-moved"); err != nil {
		t.Fatal(err)
	}
	written(t, l, record("/two"))
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "/two") || strings.Contains(string(b), "/one") {
		t.Errorf("%v %s", err, b)
	}
}

// TestAccessLogThatCannotBeWrittenLosesRecordsAndSaysSo promises that no request waits for the log's disk.
func TestAccessLogThatCannotBeWrittenLosesRecordsAndSaysSo(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := OpenAccessLog(slog.New(slog.NewTextHandler(io.Writer(&log), nil)), AccessLogConfig{File: filepath.Join(blocked, "access.log"), Bytes: 1 << 20, Parts: 1})
	for range 3 {
		l.Record(record("/"))
		l.write()
	}
	if l.Lost() != 3 || strings.Count(log.String(), "access log not written") != 1 {
		t.Errorf("lost %d, log %s", l.Lost(), &log)
	}
	for range 2 * waitingMost / 100 {
		l.Record(record("/"))
	}
	if l.Lost() < 1000 || len(l.waiting) > waitingMost+1000 {
		t.Errorf("lost %d, %d bytes wait", l.Lost(), len(l.waiting))
	}
}
