package api

import (
	"context"
	"io"
	"net/http"

	"aplomb"
)

// backupType is the content type of a backup.
const backupType = "application/x-tar"

// BackupAsk says what a backup is to hold beside the sites.
type BackupAsk struct {
	// Tokens asks for the file of tokens too.
	Tokens bool
}

// Backup is a backup that is ready to be written.
type Backup interface {
	// Write writes it whole, or returns an error: then w holds none.
	Write(ctx context.Context, w io.Writer) error
	// Close ends what keeps the bytes in their place. It is called once.
	Close()
}

// backup streams a backup. What goes wrong behind the first byte ends the connection, so that nobody takes a part for the
// whole.
func (s *Server) backup(w http.ResponseWriter, r *request) (any, error) {
	if s.cfg.Backup == nil {
		return nil, aplomb.NewError(aplomb.CodeDegraded, "No backup is made", "the ledger of this server could not be opened", "aplomb status")
	}
	b, err := s.cfg.Backup(r.Context(), BackupAsk{Tokens: r.URL.Query().Get("tokens") == "1"})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	w.Header().Set("Content-Type", backupType)
	if err := b.Write(r.Context(), &patientWriter{w}); err != nil {
		s.lg.Warn("backup not written to its end", "request", r.id, "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil, nil
}

// patientWriter gives each write its own time: a reader that takes nothing for so long holds a lease for nobody.
type patientWriter struct{ w http.ResponseWriter }

func (p *patientWriter) Write(b []byte) (int, error) {
	limitWrite(p.w)
	return p.w.Write(b)
}
