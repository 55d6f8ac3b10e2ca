package api

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"aplomb"
)

// madeBackup is a backup of some text that ends with an error.
type madeBackup struct {
	text   string
	err    error
	closed chan struct{}
}

func (b *madeBackup) Write(_ context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, b.text); err != nil {
		return err
	}
	return b.err
}

func (b *madeBackup) Close() { close(b.closed) }

func TestABackupThatEndsEarlyIsNeverTakenForAWholeOne(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("backup ", 100_000)
	for name, c := range map[string]struct {
		made *madeBackup
		err  error // of making it ready
		want string
		code aplomb.Code
	}{
		"whole":       {made: &madeBackup{text: long}, want: long},
		"ended early": {made: &madeBackup{text: long, err: errors.New("disk gone")}, code: aplomb.CodeNoServer},
		"refused":     {err: aplomb.NewError(aplomb.CodeDegraded, "no backup", "why", "do").With("Production is unchanged."), code: aplomb.CodeDegraded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := bareServer(t, Config{Dir: t.TempDir(), Backup: func(_ context.Context, ask BackupAsk) (Backup, error) {
				if c.made == nil {
					return nil, c.err
				}
				c.made.closed = make(chan struct{})
				if !ask.Tokens {
					return nil, errors.New("tokens were asked for")
				}
				return c.made, nil
			}})
			if err := s.Open(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run = %v", err)
				}
			}()
			client := Dial(s.Endpoint())
			defer client.Close()
			var got []byte
			body, err := client.Backup(t.Context(), BackupAsk{Tokens: true})
			if err == nil {
				got, err = io.ReadAll(body)
				body.Close()
			}
			e, _ := errors.AsType[*aplomb.Error](err)
			if c.code == "" && (err != nil || string(got) != c.want) {
				t.Errorf("%d bytes, %v, want %d", len(got), err, len(c.want))
			}
			if c.code != "" && (e == nil || e.Code != c.code) {
				t.Errorf("%d bytes, %v, want code %s", len(got), err, c.code)
			}
			if c.made != nil {
				<-c.made.closed // what kept the bytes in their place has ended
			}
		})
	}
}
