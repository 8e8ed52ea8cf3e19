package templates

import "time"

// viewSamples fills the pages of recipients.
func viewSamples() map[string][]any {
	from := time.Date(2026, 11, 21, 22, 5, 30, 0, time.UTC)
	full := ViewWatch{
		Recipient: "d…@police.example", Agency: "Exampleville Police <b>", Case: "24-001183 & 7", Purpose: "A burglary at number 12; a van was seen leaving.",
		Camera: "front-door", From: from, To: from.Add(90 * time.Second), Hidden: "Faces and plates", Until: from.Add(72 * time.Hour), Closes: from.Add(time.Hour),
		ViewsLeft: 4, MediaPath: "abcdefghijklmnopqrstuvwxyz", Download: true, Bytes: 12_345_678, SHA256: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
		FPS: 25, Width: 1280, Height: 720, Use: "case 24-001183 only", Onward: "Not to be passed on.", RetainDays: 30, Attest: true, Asked: true,
	}
	least := ViewWatch{Case: "1", MediaPath: "x", From: from, To: from, Until: from, Closes: from}
	return map[string][]any{
		"view_landing": {NewViewLanding()},
		"view_gone":    {NewViewGone()},
		"view_offer":   {NewViewOffer([]string{"local", "county"})},
		"view_check":   {NewViewCheck()},
		"view_transparency": {NewViewTransparency("relay.example", nil), NewViewTransparency("relay.example", []TransparencyHalf{
			{From: from, To: from, All: TransparencyRow{"All", "5–9", "1–4", "1–4"}, Purposes: []TransparencyRow{{"Burglary", "0", "0", "0"}}, Made: "10+", Median: 3}})},
		"view_watch": {NewViewWatch(full), NewViewWatch(least)},
	}
}
