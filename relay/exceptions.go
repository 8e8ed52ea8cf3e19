package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of what a member says to leave something visible.
const (
	ReasonLeast       = 15 // characters
	ReasonMost        = 200
	maxExceptionPlace = 8
)

// Exception is one thing that the detectors took for a face or a plate and that a release copy shows,
// because a member said so. The grant lists them, so that whoever signs has signed them.
type Exception struct {
	Kind   string `json:"kind"`    // "face" or "plate"
	FromMS int64  `json:"from_ms"` // milliseconds from the start of the window
	ToMS   int64  `json:"to_ms"`
	Reason string `json:"reason"`
	By     string `json:"by"` // member
}

// Exceptions returns what the copies under review leave visible, as the redactor reports it: what was
// asked for and not found again stays hidden and is not among them.
func (rel Release) Exceptions() ([]Exception, error) {
	if len(rel.Summary) == 0 {
		return nil, nil
	}
	s, err := rel.report()
	return s.Exceptions, err
}

// Except turns what member's page says is drawn on rel into what a draft holds. An exception that is new
// names a track of the copies under review: it gets the places where that track was, and its member. One
// of before has to be as it was. The rest of raw is left for [Draft.Redraw] to read.
func (rel Release) Except(raw json.RawMessage, member string) (json.RawMessage, error) {
	edits, err := decodeEdits(raw)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(edits, Edit.excepts) {
		return raw, nil
	}
	before, err := decodeEdits(rel.Draft.Edits)
	if err != nil {
		return nil, err
	}
	var s Summary
	if len(rel.Summary) > 0 {
		if s, err = rel.report(); err != nil {
			return nil, err
		}
	}
	for i := range edits {
		e := &edits[i]
		if !e.excepts() {
			continue
		}
		if e.Track == "" {
			if !slices.ContainsFunc(before, func(b Edit) bool { return reflect.DeepEqual(b, *e) }) {
				return nil, Invalid("edits", "What is uncovered has changed since you looked. Load the page again, and choose it anew.")
			}
			continue
		}
		k := slices.IndexFunc(s.Spans, func(t TrackSpan) bool { return t.ID == e.Track && len(t.Keys) > 0 && exceptable(t.Kind) })
		if k < 0 {
			return nil, Invalid("edits", "What you want to uncover is not in the copies under review. Load the page again, and choose it anew.")
		}
		reason := norm.NFC.String(strings.Join(strings.Fields(e.Reason), " "))
		*e = Edit{Kind: EditException, Of: s.Spans[k].Kind, Keys: s.Spans[k].Keys, Reason: reason, By: member}
	}
	return json.Marshal(edits)
}

// exceptable says whether a region of this kind was found, and not drawn by a person.
func exceptable(kind string) bool { return kind == "face" || kind == "plate" }

func (e Edit) excepts() bool { return e.Kind == EditException }

// checkException says what is wrong with an exception, to follow its number, or nothing.
func (e Edit) checkException(length time.Duration) string {
	switch n := utf8.RuneCountInString(e.Reason); {
	case e.Track != "" || !exceptable(e.Of) || e.By == "" || e.Follow || len(e.Points) > 0 || len(e.Keys) == 0 || len(e.Keys) > maxExceptionPlace:
		return "uncovers something that the copies under review do not show: remove it and choose it anew"
	case n < ReasonLeast:
		return fmt.Sprintf("needs a reason of %d characters or more, that another member and a court could follow", ReasonLeast)
	case n > ReasonMost:
		return fmt.Sprintf("has a reason of more than %d characters: make it shorter", ReasonMost)
	}
	return e.checkKeys(length)
}

// Approvers says whether what d leaves visible can ever be approved in a home in which able members
// may sign: it takes two.
func (d Draft) Approvers(able int) error {
	edits, err := decodeEdits(d.Edits)
	if err != nil {
		return err
	}
	if able < 2 && slices.ContainsFunc(edits, Edit.excepts) {
		return Invalid("edits", "Uncovering something takes two members who may approve, and your home has one. Invite another approver on the page Household first.")
	}
	return nil
}

// withoutExceptions is what of raw hides something.
func withoutExceptions(raw json.RawMessage) (json.RawMessage, error) {
	edits, err := decodeEdits(raw)
	if err != nil || !slices.ContainsFunc(edits, Edit.excepts) {
		return raw, err
	}
	if edits = slices.DeleteFunc(edits, Edit.excepts); len(edits) == 0 {
		return nil, nil
	}
	return json.Marshal(edits)
}

// decodeEdits reads edits without looking at what they say.
func decodeEdits(raw json.RawMessage) (edits []Edit, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&edits); err != nil || dec.More() {
		return nil, Invalid("edits", "What you drew could not be read. Load the page again and draw it anew.")
	}
	return edits, nil
}

// checkExceptions says why what g leaves visible cannot be, or nil.
func (g Grant) checkExceptions(window time.Duration) error {
	for _, x := range g.Redaction.Exceptions {
		n := utf8.RuneCountInString(x.Reason)
		if !exceptable(x.Kind) || x.By == "" || n < ReasonLeast || n > ReasonMost || x.FromMS < 0 || x.ToMS <= x.FromMS || x.FromMS > window.Milliseconds() {
			return errors.New("the grant leaves something visible without saying what, why, or by whom")
		}
	}
	return nil
}
