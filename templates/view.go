package templates

import "time"

// ViewLanding is the page that a link opens. It is the same for every link, and for none:
// the link's secret is in the fragment, which only the page's script sees.
type ViewLanding struct{ Layout }

// NewViewLanding returns the page.
func NewViewLanding() ViewLanding {
	return ViewLanding{Layout{Title: "Protected file", Public: true, Scripts: []string{"view.js"}}}
}

// ViewGone is shown when there is nothing to watch, whatever the reason.
type ViewGone struct{ Layout }

// NewViewGone returns the page.
func NewViewGone() ViewGone { return ViewGone{Layout{Title: "Not available", Public: true}} }

// ViewWatch is the page of a recipient whose code was right.
type ViewWatch struct {
	Layout
	Recipient  string    // masked address of the one recipient
	Agency     string    // its name
	Case       string    // the agency's case reference
	Purpose    string    // what the footage was asked for, in the agency's words
	Camera     string    // handle of the camera
	From, To   time.Time // what the release copy shows
	Hidden     string    // what is hidden in it, such as "faces and plates"
	Until      time.Time // when the lease ends
	Closes     time.Time // when this view ends at the latest
	ViewsLeft  int       // after this view
	Asked      bool      // more time was asked for within the last day
	MediaPath  string    // where the player finds the footage
	Download   bool      // whether a file to keep is offered
	Bytes      int64     // of the release copy
	SHA256     string    // hex, of the release copy
	FPS        float64   // frames in a second, for stepping
	Width      int       // of the picture; 0 when not known
	Height     int       //
	Use        string    // conditions of the grant, as signed
	Onward     string    //
	RetainDays int       //
	Attest     bool      // the recipient is asked to attest that copies were destroyed
}

// NewViewWatch returns p with its layout.
func NewViewWatch(p ViewWatch) ViewWatch {
	p.Layout = Layout{Title: "Footage shared with you", Public: true, Scripts: []string{"view.js"}}
	return p
}

// ViewCheck is the page on which whoever holds a file asks whether it was released here. It is
// the same for everybody.
type ViewCheck struct{ Layout }

// NewViewCheck returns the page.
func NewViewCheck() ViewCheck {
	return ViewCheck{Layout{Title: "Check a file", Public: true, Scripts: []string{"sha256.js", "check.js"}}}
}

// ViewTransparency says what agencies asked of the home, in round numbers.
type ViewTransparency struct {
	Layout
	Relay  string
	Halves []TransparencyHalf // newest first
}

// TransparencyHalf is half a year. Numbers are "0", "1–4", "5–9" or "10+".
type TransparencyHalf struct {
	From, To                               time.Time // first and last day
	All                                    TransparencyRow
	Lanes, Purposes                        []TransparencyRow
	Made, Narrowed, Revoked, Expired       string // releases
	Median                                 int    // minutes of footage; 0 when there are too few to say
	DestroyedAsked, Destroyed, BasisMissed string
}

// TransparencyRow counts requests of one kind.
type TransparencyRow struct{ Name, Asked, Released, NotReleased string }

// NewViewTransparency returns the page.
func NewViewTransparency(relay string, halves []TransparencyHalf) ViewTransparency {
	return ViewTransparency{Layout: Layout{Title: "What agencies asked", Public: true}, Relay: relay, Halves: halves}
}

// ViewOffer is the page on which an invited agency hands over its name and keys. It is the same
// for every invitation, and for none: the secret is in the fragment.
type ViewOffer struct {
	Layout
	Levels []string
}

// NewViewOffer returns the page.
func NewViewOffer(levels []string) ViewOffer {
	return ViewOffer{Layout{Title: "Tell the home who you are", Public: true, Scripts: []string{"offer.js"}}, levels}
}
