package relay

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseService(t *testing.T) {
	hosts := []string{"ntfy.lan:8080", "matrix.example.org", "10.0.0.5"}
	for _, tt := range []struct {
		address, scheme, host string // no scheme: refused
	}{
		{"ntfy://ntfy.sh/s3cret", "ntfy", "ntfy.sh"},
		{"ntfy://user:s3cret@ntfy.sh/topic?priority=high&tags=house", "ntfy", "ntfy.sh"},
		{"ntfy://ntfy.lan:8080/s3cret?scheme=http", "ntfy", "ntfy.lan:8080"},
		{"ntfy://10.0.0.5:9/s3cret?scheme=http", "ntfy", "10.0.0.5:9"},
		{"ntfy://ntfy.lan:8081/s3cret?scheme=http", "", ""}, // another port was named
		{"ntfy://ntfy.sh/s3cret?scheme=http", "", ""},
		{"ntfy://ntfy.sh/s3cret?scheme=HTTP", "", ""},
		{"ntfy://ntfy.sh/s3cret?disabletls=yes", "", ""},
		{"ntfy://ntfy.sh/s3cret?disabletlsverification=yes", "", ""},
		{"ntfy://ntfy.sh/s3cret?attach=http://10.0.0.1/", "", ""},
		{"ntfy://ntfy.sh/s3cret?email=a@b.example", "", ""},
		{"ntfy://ntfy.sh/s3cret?priority=1&priority=2", "", ""},
		{"ntfy://ntfy.sh/", "", ""},
		{"gotify://gotify.example.org/s3cret?priority=1", "gotify", "gotify.example.org"},
		{"gotify://gotify.example.org/s3cret?disabletls=no", "gotify", "gotify.example.org"},
		{"gotify://gotify.example.org/s3cret?DisableTLS=Yes", "", ""},
		{"gotify://gotify.example.org/s3cret?insecureskipverify=yes", "", ""},
		{"matrix://:s3cret@matrix.example.org/?rooms=!a:b", "matrix", "matrix.example.org"},
		{"matrix://:s3cret@other.example.org/?rooms=!a:b", "", ""},
		{"telegram://s3cret@telegram?chats=1", "telegram", "api.telegram.org"},
		{"pushover://shoutrrr:s3cret@user/", "pushover", "api.pushover.net"},
		{"generic+http://127.0.0.1/s3cret", "", ""},
		{"https://s3cret.example/", "", ""},
		{"s3cret", "", ""},
		{"ntfy://s3cret:x:y/%zz", "", ""},
	} {
		scheme, host, err := ParseService(tt.address, hosts)
		if scheme != tt.scheme || host != tt.host {
			t.Errorf("%s: %s at %s, %v", tt.address, scheme, host, err)
		}
		var invalid *InvalidError
		if tt.scheme == "" && (!errors.As(err, &invalid) || invalid.Field != "url" || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: error %v", tt.address, err)
		}
	}
	for _, example := range ServiceKinds() {
		if _, _, err := ParseService(example, hosts); err != nil {
			t.Errorf("the example %s: %v", example, err)
		}
	}
}

func TestChooseNotices(t *testing.T) {
	n := DefaultNotices("ada")
	if slices.Contains(n.Mail, NoticeWatched) || !slices.Contains(n.Mail, NoticeRequest) || !slices.Equal(n.Mail, n.Service) {
		t.Errorf("the default is %+v", n)
	}
	for _, tt := range []struct {
		name          string
		mail, service []string
		want          []string // by mail; nil: refused
	}{
		{"nothing", nil, nil, []string{NoticeRecovered}},
		{"in another order, and twice", []string{NoticeEnded, NoticeRequest, NoticeEnded}, []string{NoticeMore}, []string{NoticeRequest, NoticeEnded, NoticeRecovered}},
		{"what there is not", []string{"weather"}, nil, nil},
		{"the test", nil, []string{NoticeTest}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, e, err := n.Choose(tt.mail, tt.service, start)
			var invalid *InvalidError
			if (err == nil) != (tt.want != nil) || err != nil && !errors.As(err, &invalid) {
				t.Fatalf("error %v", err)
			}
			if err == nil && (!slices.Equal(got.Mail, tt.want) || !slices.Equal(got.Service, tt.service) && len(got.Service)+len(tt.service) > 0 || e.Kind != NoticesChanged || e.Actor != "ada") {
				t.Errorf("got %+v and %+v", got, e)
			}
		})
	}
}

func TestNoticeService(t *testing.T) {
	n := DefaultNotices("ada")
	if _, err := n.Try(); !errors.Is(err, ErrState) {
		t.Errorf("a test without a service: %v", err)
	}
	n.State, n.Result = "failed", "No."
	n, e := n.SetService("ntfy", "ntfy.sh", start)
	if n.Scheme != "ntfy" || n.State != "" || n.Result != "" || e.Kind != NoticesChanged || e.Data["scheme"] != "ntfy" {
		t.Errorf("got %+v and %+v", n, e)
	}
	if n, err := n.Try(); err != nil || n.State != "trying" {
		t.Errorf("a test: %+v, %v", n, err)
	}
}
