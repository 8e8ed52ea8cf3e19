package relay

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseEdits(t *testing.T) {
	const box = `{"kind":"box","follow":true,"keys":[{"at_ns":500000000,"x":0.1,"y":0.1,"w":0.2,"h":0.2}]}`
	const corners = `"points":[{"x":0,"y":0},{"x":1,"y":0},{"x":1,"y":1}]`
	poster := func(old, new string) string {
		return strings.Replace(`{"kind":"exception","of":"face","reason":"a poster on the wall","by":"m1","keys":[{"at_ns":500000000,"x":0.1,"y":0.1,"w":0.2,"h":0.2}]}`, old, new, 1)
	}
	for _, tt := range []struct{ name, raw, says string }{
		{"nothing", ``, ""},
		{"none", `[]`, ""},
		{"a box", `[` + box + `]`, ""},
		{"areas", `[{"kind":"area",` + corners + `},{"kind":"outside",` + corners + `}]`, ""},
		{"no list", `{}`, "could not be read"},
		{"more than a list", `[] []`, "could not be read"},
		{"an unknown property", `[{"kind":"area","from_ns":1,` + corners + `}]`, "could not be read"},
		{"too many", `[` + strings.Repeat(box+`,`, MaxEdits) + box + `]`, "at most 40"},
		{"as many as may be", `[` + strings.Repeat(box+`,`, MaxEdits-1) + box + `]`, ""},
		{"no moment", `[` + box + `,{"kind":"box"}]`, "Region 2 needs 1 to 40 moments"},
		{"too many moments", `[{"kind":"box","keys":[` + strings.Repeat(`{"at_ns":0,"x":0,"y":0,"w":1,"h":1},`, MaxEditKeys) + `{"at_ns":1,"x":0,"y":0,"w":1,"h":1}]}]`, "moments"},
		{"before the window", `[{"kind":"box","keys":[{"at_ns":-1,"x":0,"y":0,"w":1,"h":1}]}]`, "outside the window"},
		{"at the window's end", `[{"kind":"box","keys":[{"at_ns":2000000000,"x":0,"y":0,"w":1,"h":1}]}]`, "outside the window"},
		{"twice the same moment", `[{"kind":"box","keys":[{"at_ns":1,"x":0,"y":0,"w":1,"h":1},{"at_ns":1,"x":0,"y":0,"w":1,"h":1}]}]`, "wrong order"},
		{"beside the picture", `[{"kind":"box","keys":[{"at_ns":0,"x":0.9,"y":0,"w":0.2,"h":1}]}]`, "outside the picture"},
		{"a point", `[{"kind":"box","keys":[{"at_ns":0,"x":0.9,"y":0,"w":0.001,"h":1}]}]`, "too small"},
		{"a box with corners", `[{"kind":"box",` + corners + `}]`, "moments"},
		{"an area that follows", `[{"kind":"area","follow":true,` + corners + `}]`, "corners"},
		{"two corners", `[{"kind":"area","points":[{"x":0,"y":0},{"x":1,"y":1}]}]`, "corners"},
		{"too many corners", `[{"kind":"area","points":[` + strings.Repeat(`{"x":0,"y":0},`, 64) + `{"x":1,"y":1}]}]`, "corners"},
		{"a corner outside", `[{"kind":"outside","points":[{"x":0,"y":0},{"x":1.1,"y":1},{"x":0,"y":1}]}]`, "outside the picture"},
		{"an unknown kind", `[{"kind":"star"}]`, "does not take"},
		{"an area with a reason", `[{"kind":"area","reason":"no reason is needed",` + corners + `}]`, "has a reason"},
		{"an exception", `[` + poster("", "") + `]`, ""},
		{"showing what was hidden", `[{"kind":"exception"}]`, "do not show"},
		{"an exception of a page", `[` + poster(`"of"`, `"track":"face-1","of"`) + `]`, "do not show"},
		{"an exception by nobody", `[` + poster(`,"by":"m1"`, "") + `]`, "do not show"},
		{"an exception of what was drawn", `[` + poster(`"face"`, `"edit"`) + `]`, "do not show"},
		{"an exception that follows", `[` + poster(`"of"`, `"follow":true,"of"`) + `]`, "do not show"},
		{"an exception nowhere", `[{"kind":"exception","of":"face","reason":"a poster on the wall","by":"m1"}]`, "do not show"},
		{"an exception in many places", `[{"kind":"exception","of":"face","reason":"a poster on the wall","by":"m1","keys":[` + strings.Repeat(`{"at_ns":0,"x":0,"y":0,"w":1,"h":1},`, 8) + `{"at_ns":1,"x":0,"y":0,"w":1,"h":1}]}]`, "do not show"},
		{"an exception without a reason", `[` + poster("a poster on the wall", "") + `]`, "needs a reason of 15"},
		{"an exception with half a reason", `[` + poster("a poster on the wall", "it is a poste") + `]`, "needs a reason of 15"},
		{"an exception with a story", `[` + poster("a poster on the wall", strings.Repeat("ä", 201)) + `]`, "shorter"},
		{"an exception with a long reason", `[` + poster("a poster on the wall", strings.Repeat("ä", 200)) + `]`, ""},
		{"an exception outside the window", `[` + poster("500000000", "2000000000") + `]`, "outside the window"},
	} {
		_, err := ParseEdits(json.RawMessage(tt.raw), 2*time.Second)
		var invalid *InvalidError
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.says != "" && (!errors.As(err, &invalid) || invalid.Field != "edits" || !strings.Contains(invalid.Reason, tt.says)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}

// TestRedraw: what was drawn stays at its moment of the footage when the window moves.
func TestRedraw(t *testing.T) {
	raw := json.RawMessage(`[{"kind":"box","keys":[{"at_ns":3000000000,"x":0,"y":0,"w":1,"h":1}]}]`)
	for _, tt := range []struct {
		name     string
		from, to time.Duration // of the new window, from the start of the old one
		want     string
	}{
		{"the same window", 0, 5 * time.Second, `[{"kind":"box","keys":[{"at_ns":3000000000,"x":0,"y":0,"w":1,"h":1}]}]`},
		{"later", 2 * time.Second, 5 * time.Second, `[{"kind":"box","keys":[{"at_ns":1000000000,"x":0,"y":0,"w":1,"h":1}]}]`},
		{"earlier", -time.Second, 5 * time.Second, `[{"kind":"box","keys":[{"at_ns":4000000000,"x":0,"y":0,"w":1,"h":1}]}]`},
		{"begins after it", 4 * time.Second, 5 * time.Second, ""},
		{"ends before it", 0, 3 * time.Second, ""},
	} {
		d := Draft{From: start.Add(tt.from), To: start.Add(tt.to)}
		err := d.Redraw(raw, start)
		if tt.want == "" && err == nil {
			t.Errorf("%s: %s", tt.name, d.Edits)
		} else if tt.want != "" && (err != nil || string(d.Edits) != tt.want) {
			t.Errorf("%s: %s, %v", tt.name, d.Edits, err)
		}
	}
	d := Draft{From: start, To: start.Add(time.Second), Edits: raw}
	if err := d.Redraw(json.RawMessage(`[]`), start); err != nil || d.Edits != nil {
		t.Errorf("taking everything away left %s, %v", d.Edits, err)
	}
	if err := d.Redraw(json.RawMessage(`?`), start); err == nil {
		t.Error("nonsense was taken")
	}
}
