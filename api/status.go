package api

import (
	"net/http"

	"aplomb"
)

// status returns the HTTP status of an error: by its code where HTTP has a word for just that, else by its kind.
func status(e *aplomb.Error) int {
	switch e.Code {
	case aplomb.CodeDenied, aplomb.CodeTokenEnded:
		return http.StatusUnauthorized
	case aplomb.CodeAttempts:
		return http.StatusTooManyRequests
	case aplomb.CodeHostName:
		return http.StatusMisdirectedRequest
	case aplomb.CodeMethod:
		return http.StatusMethodNotAllowed
	case aplomb.CodeMedia:
		return http.StatusUnsupportedMediaType
	case aplomb.CodeLimit:
		return http.StatusRequestEntityTooLarge
	case aplomb.CodeNoSpace:
		return http.StatusInsufficientStorage
	}
	switch e.Kind() {
	case aplomb.ErrUsage:
		return http.StatusBadRequest
	case aplomb.ErrNotFound:
		return http.StatusNotFound
	case aplomb.ErrInvalid:
		return http.StatusUnprocessableEntity
	case aplomb.ErrDenied:
		return http.StatusForbidden
	case aplomb.ErrRefused, aplomb.ErrConflict:
		return http.StatusConflict
	case aplomb.ErrRunning, aplomb.ErrDegraded, aplomb.ErrDown:
		return http.StatusServiceUnavailable
	case aplomb.ErrNoSpace:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// kindOf is the way back, for a code that a client does not know because the server is newer.
func kindOf(status int) error {
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return aplomb.ErrUsage
	case http.StatusNotFound:
		return aplomb.ErrNotFound
	case http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusInsufficientStorage:
		return aplomb.ErrInvalid
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusTooManyRequests:
		return aplomb.ErrDenied
	case http.StatusConflict:
		return aplomb.ErrRefused
	case http.StatusServiceUnavailable:
		return aplomb.ErrDegraded
	}
	return aplomb.ErrInternal
}
