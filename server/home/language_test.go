package home_test

import (
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/test/house"
)

// TestLanguage: a stranger's page is in the language that the browser asks for, a member's in the one
// that was chosen, from any browser; times are in the chosen zone, and bad input is refused in words of it.
func TestLanguage(t *testing.T) {
	h := house.New(t)
	p := joined(t, h, relay.RoleHomeowner)
	stranger := map[string]string{"Accept": "text/html", "Accept-Language": "nl"}
	if got := string(p.do("GET", "/recover", nil, stranger).want(200).body); !strings.Contains(got, `<html lang="nl">`) || !strings.Contains(got, "Terugkomen met een herstelcode") {
		t.Errorf("a browser that asks for Dutch gets %.200s", got)
	}
	p.page("/household").says("Household", "Language and time")

	p.post("/language", map[string]any{"language": "xx"}).refused("language")
	p.post("/household/words", map[string]any{"language": "nl", "zone": "Mars/Olympus"}).refused("zone")
	p.post("/household/words", map[string]any{"language": "xx", "zone": ""}).refused("language")
	p.post("/household/words", map[string]any{"language": "nl", "zone": "Asia/Tokyo"}).want(200)
	p.page("/household").says("Huishouden", "Taal en tijd", "JST").silent("Household")
	p.page("/activity").says("meldde zich aan.")
	if got := p.post("/household/words", map[string]any{"language": "nl", "zone": "Mars/Olympus"}).refused("zone").text("error"); !strings.HasPrefix(got, "Schrijf de tijdzone") {
		t.Errorf("the refusal is %q", got)
	}
	for _, m := range must(h.Store.DB.Members(t.Context()))(t) {
		if m.Language != "nl" || m.Zone != "Asia/Tokyo" {
			t.Errorf("%s reads %q in %q", m.Name, m.Language, m.Zone)
		}
	}

	p.post("/language", map[string]any{"language": "en"}).want(200)
	p.page("/household").says("Household", "JST").silent("Huishouden")
}
