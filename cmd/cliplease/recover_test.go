package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"cliplease/relay"
	"cliplease/storage"
)

func TestAdminRecover(t *testing.T) {
	dir := madeHome(t)
	open := func() *storage.Store {
		t.Helper()
		store, err := storage.Open(t.Context(), storage.Config{Dir: dir, Site: relay.NewSite("localhost", "8080", false)})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store, now := open(), time.Now()
	ada := relay.Member{ID: relay.NewID(), Name: "Ada", Email: "ada@home.example", Role: relay.RoleHomeowner, CreatedAt: now}
	invited := storage.Invitation{TokenHash: hashToken("x"), Role: ada.Role, Name: "Ada", InvitedBy: "command line", ExpiresAt: now.Add(time.Hour)}
	if err := store.DB.Invite(t.Context(), invited, now); err != nil {
		t.Fatal(err)
	}
	if err := store.DB.Join(t.Context(), invited.TokenHash, ada, storage.Credential{ID: "k", MemberID: ada.ID, Name: "Phone", Record: "{}"}, now); err != nil {
		t.Fatal(err)
	}
	store.Close()
	for says, args := range map[string][]string{"--member is needed": {"recover"}, "is not one member": {"recover", "--member", "Bo"}} {
		_, err := runs(t, adminCommand(), append(args, "--data", dir)...)
		wantExit(t, err, exitUsage, says)
	}
	out, err := runs(t, adminCommand(), "recover", "--data", dir, "--member", "ADA@home.example", "--addr", "localhost:9191", "--json")
	t.Cleanup(func() { os.Unsetenv(envName("listen")) })
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Link, Member string }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(got.Link, "http://localhost:9191/join#")
	if !ok || got.Member != ada.ID {
		t.Fatalf("printed %s", out)
	}
	store = open()
	defer store.Close()
	v, err := store.DB.Invitation(t.Context(), hashToken(token), time.Now())
	if err != nil || v.MemberID != ada.ID {
		t.Errorf("the invitation is %+v, %v", v, err)
	}
	f, err := store.DB.Frozen(t.Context(), time.Now())
	if left := time.Until(f.Until); err != nil || f.Why != relay.FrozenByRecovery || left < 47*time.Hour || left > 48*time.Hour {
		t.Errorf("frozen %+v, %v", f, err)
	}
	mails, err := store.DB.MailAbout(t.Context(), ada.ID)
	if err != nil || len(mails) != 1 || mails[0].Kind != "recovered" {
		t.Errorf("mails %+v, %v", mails, err)
	}
}
