package relay

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// What a member can be told of, each by the name of its mail, in the order of a page.
const (
	NoticeRequest   = "request"   // a request has come
	NoticeCosign    = "cosign"    // a grant needs another signature
	NoticeReady     = "ready"     // a release copy can be looked at
	NoticeReleased  = "released"  // a release went live
	NoticeWatched   = "watched"   // somebody began to watch
	NoticeMore      = "more"      // a recipient asks for more time
	NoticeEnds      = "ends"      // a lease ends soon
	NoticeEnded     = "ended"     // a lease is over
	NoticeCodes     = "codes"     // many codes were asked for
	NoticeDamaged   = "damaged"   // a stored copy is not what was sealed
	NoticeKey       = "key"       // an agency brought a new key
	NoticeOffer     = "offer"     // an invited agency handed over its name and keys
	NoticeRecovered = "recovered" // a member came back without a passkey
	NoticeTest      = "test"      // asked for by the member, to see that the service works
)

// NoticeKinds lists what a member can choose to be told of.
func NoticeKinds() []string {
	return []string{NoticeRequest, NoticeCosign, NoticeReady, NoticeReleased, NoticeWatched, NoticeMore, NoticeEnds, NoticeEnded,
		NoticeCodes, NoticeDamaged, NoticeKey, NoticeOffer, NoticeRecovered}
}

// NoticeLife is how long a notice is tried to be sent.
const NoticeLife = 24 * time.Hour

// Notices is what one member wants to be told of, and how.
type Notices struct {
	MemberID string
	Mail     []string // kinds that come by mail
	Service  []string // kinds that go to the member's push or chat service
	Scheme   string   // of that service, such as "ntfy"; empty: none is set
	Host     string   // of that service, for the member's eyes
	State    string   // "": nothing was sent yet; "trying", "sent" or "failed": the newest notice
	Result   string   // what went wrong with it
	TriedAt  time.Time
}

// DefaultNotices is what a member is told of who chose nothing.
func DefaultNotices(memberID string) Notices {
	usual := slices.DeleteFunc(NoticeKinds(), func(k string) bool { return k == NoticeWatched || k == NoticeEnds })
	return Notices{MemberID: memberID, Mail: usual, Service: slices.Clone(usual)}
}

// Choose returns n with other kinds, and the event to store with it. That a member came back
// without a passkey always goes by mail: who came in with somebody else's code must not be able to
// keep it quiet. A kind that there is not is an [InvalidError].
func (n Notices) Choose(mail, service []string, now time.Time) (Notices, Event, error) {
	for field, chosen := range map[string][]string{"mail": mail, "service": service} {
		for _, k := range chosen {
			if !slices.Contains(NoticeKinds(), k) {
				return n, Event{}, Invalid(field, "There is no notice %q. Load the page again.", k)
			}
		}
	}
	pick := func(chosen ...string) []string {
		return slices.DeleteFunc(NoticeKinds(), func(k string) bool { return !slices.Contains(chosen, k) })
	}
	n.Mail, n.Service = pick(append(slices.Clone(mail), NoticeRecovered)...), pick(service...)
	return n, n.changed("events", now), nil
}

// SetService returns n with the service that [ParseService] found, and the event; without a scheme
// the service is taken away.
func (n Notices) SetService(scheme, host string, now time.Time) (Notices, Event) {
	n.Scheme, n.Host, n.State, n.Result, n.TriedAt = scheme, host, "", "", time.Time{}
	return n, n.changed("service", now)
}

// Try returns n with a notice under way: a service must be set, else it fails with [ErrState].
func (n Notices) Try() (Notices, error) {
	if n.Scheme == "" {
		return n, ErrState
	}
	n.State, n.Result = "trying", ""
	return n, nil
}

func (n Notices) changed(what string, now time.Time) Event {
	return Event{Kind: NoticesChanged, Subject: n.MemberID, Actor: n.MemberID, At: now, Data: Data{"what": what, "scheme": n.Scheme}}
}

// services are the kinds of service that notices can go to, and what an address of each may say
// besides where it leads. What could send a notice elsewhere, add to it, or take the encryption away
// from the way to a stranger's server, is not among it.
var services = map[string]struct {
	params  []string
	example string
	fixed   string // the one host that it can lead to; empty: the address names it
	vouched bool   // its host must be one that the operator named, since where its client goes cannot be watched
}{
	"ntfy":     {[]string{"priority", "tags", "scheme"}, "ntfy://ntfy.sh/your-secret-topic", "", false},
	"gotify":   {[]string{"priority", "disabletls"}, "gotify://gotify.example.org/TOKEN", "", false},
	"matrix":   {[]string{"rooms", "room", "disabletls"}, "matrix://:TOKEN@matrix.example.org/?rooms=!room:example.org", "", true},
	"telegram": {[]string{"chats", "channels", "notification"}, "telegram://TOKEN@telegram?chats=12345", "api.telegram.org", false},
	"pushover": {[]string{"devices", "priority"}, "pushover://shoutrrr:TOKEN@USER/", "api.pushover.net", false},
}

// ServiceKinds lists the services that notices can go to, with an address of each as an example.
func ServiceKinds() (examples []string) {
	for _, s := range services {
		examples = append(examples, s.example)
	}
	slices.Sort(examples)
	return examples
}

// ParseService checks the address of a service and returns its kind and the host that it leads to.
// hosts are those that the operator vouches for, as host or host:port: only these may be reached
// without TLS, and only these may be Matrix servers. Whether a host is on a private network is for
// the sender to find out. The address is a secret, and no error repeats it.
func ParseService(address string, hosts []string) (scheme, host string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "pushover" {
		return "", "", Invalid("url", "This is no address of a service. It begins with its kind, such as %s.", services["ntfy"].example)
	}
	s, ok := services[u.Scheme]
	if !ok {
		return "", "", Invalid("url", "Notices can go to ntfy, gotify, matrix, telegram and pushover. An address looks like %s.", services["ntfy"].example)
	}
	host = u.Host
	if s.fixed != "" {
		host = s.fixed
	}
	vouched := Vouched(host, hosts)
	for name, values := range u.Query() {
		switch key := strings.ToLower(name); {
		case !slices.Contains(s.params, key):
			return "", "", Invalid("url", "The address may not say %q; of what can follow the question mark it may say %s.", name, strings.Join(s.params, ", "))
		case len(values) != 1:
			return "", "", Invalid("url", "The address says %q twice.", name)
		case !vouched && (key == "scheme" && values[0] != "https" || key == "disabletls" && !slices.Contains([]string{"no", "No", "0", "false"}, values[0])):
			return "", "", Invalid("url", "Only a server that the relay's operator named in notify.hosts can be reached without TLS.")
		}
	}
	switch {
	case u.Scheme == "ntfy" && strings.Trim(u.Path, "/") == "":
		return "", "", Invalid("url", "The address must end in a topic, such as %s.", s.example)
	case s.vouched && !vouched:
		return "", "", Invalid("url", "The relay's operator has to name this server in notify.hosts first.")
	}
	return u.Scheme, host, nil
}

// Vouched reports whether an address of a host, with or without a port, is among hosts, which the
// operator named.
func Vouched(address string, hosts []string) bool {
	name := (&url.URL{Host: address}).Hostname()
	return slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, address) || strings.EqualFold(h, name) })
}
