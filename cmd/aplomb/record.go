package main

import (
	"context"
	"path/filepath"
	"syscall"

	"aplomb/edge"
)

// The access log is kept in parts of so many bytes, this one and so many older ones.
const (
	accessLogBytes = 64 << 20
	accessLogParts = 7
)

// openRecord makes what every answer is told to: the metrics, and the access log unless it is off.
func (h *house) openRecord(context.Context) error {
	h.metrics = newMetrics()
	if h.machine.AccessLog == "off" {
		return nil
	}
	file := h.machine.AccessLog
	if !filepath.IsAbs(file) {
		file = filepath.Join(h.dir, file)
	}
	h.accessLog = edge.OpenAccessLog(h.lg, edge.AccessLogConfig{File: file, Bytes: accessLogBytes, Parts: accessLogParts})
	h.parts.start("access log", false, h.accessLog.Run)
	return nil
}

// record takes the record of one answer.
func (h *house) record(r edge.Record) {
	h.metrics.record(r)
	if h.accessLog != nil {
		h.accessLog.Record(r)
	}
}

func (h *house) lostRecords() int64 {
	if h.accessLog == nil {
		return 0
	}
	return h.accessLog.Lost()
}

// spaceOf returns the free and all bytes of the disk that holds a folder, as far as this user may use them.
func spaceOf(dir string) (free, total int64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), int64(fs.Blocks) * int64(fs.Bsize), nil
}
