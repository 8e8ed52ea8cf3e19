package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
)

// description reads the description as a client gets it.
func (w *world) description() object {
	w.t.Helper()
	res := w.send(httptest.NewRequest("GET", "/openapi.json", nil))
	code, body := w.answer(res)
	if code != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		w.t.Fatal(code, res.Header)
	}
	var doc object
	w.ok(json.Unmarshal([]byte(body), &doc))
	return doc
}

// TestOpenAPIRoutes: the description names every route that there is, and no other.
func TestOpenAPIRoutes(t *testing.T) {
	w := newWorld(t, wide())
	doc := w.description()
	var described, real []string
	for path, methods := range doc["paths"].(object) {
		for method := range methods.(object) {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range w.routes.(*gin.Engine).Routes() {
		if r.Path != "/openapi.json" {
			real = append(real, r.Method+" "+r.Path)
		}
	}
	slices.Sort(described)
	slices.Sort(real)
	if diff := cmp.Diff(real, described); diff != "" {
		t.Error(diff)
	}
	if url := doc["servers"].([]any)[0].(object)["url"]; url != w.site.API || doc["openapi"] != "3.1.0" {
		t.Errorf("server %v, version %v", url, doc["openapi"])
	}
}

// payload is the described schema of what a call's token says.
func payload(doc object, path string) object {
	post := doc["paths"].(object)[path].(object)["post"].(object)
	body := post["requestBody"].(object)["content"].(object)["application/jwt"].(object)["schema"].(object)
	return body["contentSchema"].(object)["prefixItems"].([]any)[1].(object)
}

// broken calls try with each way to break one rule of a schema: the place, the value that
// breaks it, and the rule.
func broken(s object, path []string, try func(path []string, value any, rule string)) {
	long := func(n float64) string { return strings.Repeat("x", int(n)) }
	for rule, limit := range s {
		switch rule {
		case "maxLength":
			try(path, long(limit.(float64)+1), rule)
		case "minLength":
			try(path, long(limit.(float64)-1), rule)
		case "maximum":
			try(path, limit.(float64)+1, rule)
		case "minimum":
			try(path, limit.(float64)-1, rule)
		case "enum":
			try(path, "none-of-these", rule)
		case "const":
			try(path, map[bool]any{true: true, false: "another"}[limit == false], rule)
		case "pattern", "format":
			try(path, "not of this form", rule)
		case "type":
			try(path, map[string]any{"is": "another type"}[""], rule) // null
			try(path, []any{[]any{}}, rule)
		case "minItems":
			try(path, []any{}, rule)
		case "required":
			for _, name := range limit.([]any) {
				try(append(slices.Clone(path), name.(string)), missing{}, rule)
			}
		case "additionalProperties":
			try(append(slices.Clone(path), "not_described"), "x", rule)
		case "properties":
			for name, member := range limit.(object) {
				broken(member.(object), append(slices.Clone(path), name), try)
			}
		case "items":
			broken(limit.(object), append(slices.Clone(path), "0"), try)
		}
	}
}

type missing struct{}

// put sets a value deep in a document. It reports false where the way there does not exist.
func put(doc any, path []string, value any) bool {
	if list, ok := doc.([]any); ok {
		if len(list) == 0 {
			return false
		}
		if len(path) == 1 {
			list[0] = value
			return true
		}
		return put(list[0], path[1:], value)
	}
	members, ok := doc.(object)
	if !ok {
		return false
	}
	if len(path) == 1 {
		if value == (missing{}) {
			delete(members, path[0])
		} else {
			members[path[0]] = value
		}
		return true
	}
	return put(members[path[0]], path[1:], value)
}

// TestOpenAPIIsTrue breaks every rule that the description states, one at a time, and wants
// each to be refused with the claim that the rule is about. So no rule is described that does
// not hold.
func TestOpenAPIIsTrue(t *testing.T) {
	w := newWorld(t, wide())
	a := w.registers("first", relay.AlgEdDSA)
	doc := w.description()
	with := func(more claim) claim {
		c := w.call(a, 60)
		maps.Copy(c, more)
		return c
	}
	full := w.claims(a)
	compel(full)
	full["onward"].(claim)["policy"], full["onward"].(claim)["recipients"] = "listed", []string{"county attorney"}
	full["recipients"] = full["recipients"].([]claim)[1:] // the one by mail
	for path, good := range map[string]claim{
		"/a/v1/requests":             full,
		"/a/v1/requests/poll":        with(claim{"request_ids": []string{"aaaaaaaaaaaaaaaaaaaaaaaaaa"}}),
		"/a/v1/requests/withdraw":    with(claim{"request_id": "aaaaaaaaaaaaaaaaaaaaaaaaaa"}),
		"/a/v1/releases/open":        with(claim{"release_id": "aaaaaaaaaaaaaaaaaaaaaaaaaa"}),
		"/a/v1/releases/destroyed":   with(claim{"release_id": "aaaaaaaaaaaaaaaaaaaaaaaaaa", "destroyed_at": relay.Stamp(w.now), "statement": "done"}),
		"/a/v1/releases/acknowledge": with(claim{"release_id": "aaaaaaaaaaaaaaaaaaaaaaaaaa", "notice_sha256": strings.Repeat("0", 64)}),
	} {
		typ := map[string]string{"/a/v1/requests": token.Request, "/a/v1/requests/poll": token.Poll, "/a/v1/requests/withdraw": token.Withdraw,
			"/a/v1/releases/open": token.Open, "/a/v1/releases/destroyed": token.Destroyed,
			"/a/v1/releases/acknowledge": token.Acknowledge}[path]
		tried := 0
		broken(payload(doc, path), nil, func(at []string, value any, rule string) {
			var c object
			w.ok(json.Unmarshal([]byte(text(t, good)), &c))
			nullable := len(at) > 0 && at[len(at)-1] == "amends"
			if len(at) == 0 || value == nil && nullable || at[len(at)-1] == "kid" && rule != "type" || !put(c, at, value) {
				return // the whole is not a member; null is right for amends; a kid has no place beside a mailbox
			}
			if optional := rule == "type" && value == nil; optional && strings.HasPrefix(strings.Join(at, "."), "recipients.0.kid") {
				return
			}
			tried++
			code, body := w.answer(w.post(path, w.sign(a, typ, c)))
			var r refusal
			w.ok(json.Unmarshal([]byte(body), &r))
			wants := strings.Join(at, ".")
			if code != http.StatusUnprocessableEntity || !(strings.HasPrefix(wants, r.Claim) || strings.HasPrefix(r.Claim, wants)) || r.Claim == "" {
				t.Errorf("%s: %s of %s broken by %v: %d %s", path, rule, wants, value, code, body)
			}
		})
		if tried < 10 {
			t.Errorf("%s: only %d rules were tried", path, tried)
		}
		t.Logf("%s: %d rules", path, tried)
	}
	if n := w.requests(); n != 0 {
		t.Errorf("%d were stored", n)
	}
}

// TestOpenAPIWords: every word of the description is about a member that exists.
func TestOpenAPIWords(t *testing.T) {
	used := map[string]bool{}
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		used[path] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			if t.Elem().Kind() != reflect.Uint8 {
				walk(t.Elem(), path)
			}
		case reflect.Struct:
			for f := range t.Fields() {
				if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.Anonymous {
					walk(f.Type, path)
				} else if name != "" {
					walk(f.Type, path+"."+name)
				}
			}
		default:
		}
	}
	for _, e := range endpoints {
		walk(reflect.TypeOf(e.claims), reflect.TypeOf(e.claims).Name())
		if e.answers != nil {
			walk(reflect.TypeOf(e.answers), reflect.TypeOf(e.answers).Name())
		}
	}
	for _, v := range []any{refusal{}, token.ReceiptClaims{}} {
		walk(reflect.TypeOf(v), reflect.TypeOf(v).Name())
	}
	for name := range about {
		if !used[name] {
			t.Errorf("%s describes nothing", name)
		}
	}
}

// TestAnswersAreDescribed: every code that an answer of the API had is one that its
// description names, with the members that it names.
func TestAnswersAreDescribed(t *testing.T) {
	w := newWorld(t, Limits{})
	a := w.registers("first", relay.AlgEdDSA)
	doc := w.description()
	id := w.files(a, w.claims(a))
	rel := w.leases(id, footage(t, 100), 3600e9, 1)
	call := func(more claim) claim {
		c := w.call(a, 60)
		maps.Copy(c, more)
		return c
	}
	for _, tt := range []struct {
		path, typ string
		c         claim
		code      int
	}{
		{"/a/v1/requests/poll", token.Poll, call(claim{"request_ids": []string{id}}), 200},
		{"/a/v1/requests/poll", token.Poll, call(claim{"request_ids": []string{rel.ID}}), 404},
		{"/a/v1/requests/poll", token.Poll, call(claim{"request_ids": []string{}}), 422},
		{"/a/v1/requests/poll", token.Open, call(claim{}), 400},
		{"/a/v1/releases/open", token.Open, call(claim{"release_id": rel.ID}), 200},
		{"/a/v1/releases/open", token.Open, call(claim{"release_id": rel.ID}), 404},
		{"/a/v1/releases/destroyed", token.Destroyed, call(claim{"release_id": rel.ID, "destroyed_at": relay.Stamp(w.now), "statement": "done"}), 200},
		{"/a/v1/requests/withdraw", token.Withdraw, call(claim{"request_id": id}), 200},
		{"/a/v1/requests", token.Request, w.claims(a), 429},
	} {
		code, body := w.answer(w.post(tt.path, w.sign(a, tt.typ, tt.c)))
		if code != tt.code {
			t.Errorf("%s: %d %s, want %d", tt.path, code, body, tt.code)
			continue
		}
		answers := doc["paths"].(object)[tt.path].(object)["post"].(object)["responses"].(object)
		described, ok := answers[fmt.Sprint(code)].(object)
		if !ok {
			t.Errorf("%s: %d is not described", tt.path, code)
			continue
		}
		s := described["content"].(object)["application/json"].(object)["schema"].(object)
		var got object
		w.ok(json.Unmarshal([]byte(body), &got))
		for name := range got {
			if _, ok := s["properties"].(object)[name]; !ok {
				t.Errorf("%s: %d: %s is not described", tt.path, code, name)
			}
		}
		for _, name := range s["required"].([]any) {
			if _, ok := got[name.(string)]; !ok {
				t.Errorf("%s: %d: %s is missing in %s", tt.path, code, name, body)
			}
		}
	}
}
