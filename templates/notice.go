package templates

import "strings"

// notices are the words that go to push and chat services. Whoever runs such a service reads them,
// so they name nobody, no case and no place, and hold no value at all.
var notices = map[string]string{
	"request":   "A new request waits.",
	"cosign":    "A release waits for another signature.",
	"ready":     "A release copy is ready to look at.",
	"released":  "Something was released.",
	"watched":   "Somebody began to watch what was released.",
	"more":      "A recipient asks for more time.",
	"ends":      "A lease ends soon.",
	"ended":     "A lease is over.",
	"codes":     "Many codes were asked for.",
	"damaged":   "A stored copy is damaged.",
	"key":       "An agency brought a new key.",
	"offer":     "An agency that was invited answered.",
	"recovered": "A member came back without a passkey. Approvals are frozen.",
	"test":      "This is a test. Notices will look like this.",
}

// Notice returns the words of a notice in l to a push or chat service, and a link to the home's pages,
// home being their origin. ok is false for a kind that there is not.
func Notice(l Lang, kind, home string) (title, text string, ok bool) {
	words, ok := notices[kind]
	return "cliplease", l.T(words) + "\n" + strings.TrimSuffix(home, "/") + "/", ok
}
