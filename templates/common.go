package templates

import "net/http"

// ErrorPage is shown when a page cannot be.
type ErrorPage struct {
	Layout
	Code     int    // HTTP status
	Sentence string // for the person who asked
}

// Heading says in a few words what kind of answer it is.
func (p ErrorPage) Heading() string {
	switch p.Code {
	case http.StatusNotFound:
		return "Nothing here"
	case http.StatusForbidden:
		return "Not for you to do"
	case http.StatusConflict:
		return "Not possible now"
	case http.StatusServiceUnavailable:
		return "Not ready"
	}
	return "That did not work"
}
