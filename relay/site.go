package relay

import (
	"net"
	"net/url"
	"strings"
)

// Site is where a relay is reached: three hosts, so that a page that a stranger opens can
// never speak to the homeowner's pages. Each is an origin without a trailing slash.
type Site struct {
	Name string // the relay's name in grants and in the log: the bare domain, such as "relay.example"
	Home string // the homeowner's web app, such as "https://home.relay.example"
	API  string // the agencies' API, such as "https://api.relay.example"
	View string // the recipients' pages, such as "https://view.relay.example"
}

// NewSite makes the three origins of a relay on domain. "localhost" is for one machine: the
// homeowner's pages are on localhost itself, since browsers allow passkeys there. port is
// empty, or the port that stands in the addresses.
func NewSite(domain, port string, https bool) Site {
	scheme := "http://"
	if https {
		scheme = "https://"
	}
	if port != "" {
		port = ":" + port
	}
	home := "home." + domain
	if domain == "localhost" {
		home = domain
	}
	return Site{Name: domain, Home: scheme + home + port, API: scheme + "api." + domain + port, View: scheme + "view." + domain + port}
}

// HomeHost is the host name of the homeowner's web app, without a port: the relying party's
// id of every passkey.
func (s Site) HomeHost() string { return hostOf(s.Home) }

// APIHost is the host name of the agencies' API, without a port.
func (s Site) APIHost() string { return hostOf(s.API) }

// ViewHost is the host name of the recipients' pages, without a port.
func (s Site) ViewHost() string { return hostOf(s.View) }

// LogOrigin names the audit log in its checkpoints.
func (s Site) LogOrigin() string { return s.Name + "/audit" }

// Secure reports whether the site is reached over TLS.
func (s Site) Secure() bool { return strings.HasPrefix(s.Home, "https://") }

func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	if h, _, err := net.SplitHostPort(u.Host); err == nil {
		return h
	}
	return u.Host
}
