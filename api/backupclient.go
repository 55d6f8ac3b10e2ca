package api

import (
	"context"
	"fmt"
	"io"
	"mime"
)

// Backup asks for a backup and returns its bytes as they come. They are a whole backup only if they can be read to their
// end without an error. The caller closes it.
func (c *Client) Backup(ctx context.Context, ask BackupAsk) (io.ReadCloser, error) {
	path := "/v1/backup"
	if ask.Tokens {
		path += "?tokens=1"
	}
	req, err := c.request(ctx, "GET", path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.answer(req)
	if err != nil {
		return nil, err
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != backupType {
		resp.Body.Close()
		return nil, c.stranger(resp, fmt.Errorf("content of type %q", kind))
	}
	return &backupBody{resp.Body, func(err error) error { return c.failed(req, err) }}, nil
}

// backupBody says of a connection that breaks what every other call says.
type backupBody struct {
	io.ReadCloser
	failed func(error) error
}

func (b *backupBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.failed(err)
	}
	return n, err
}
