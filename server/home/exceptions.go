package home

import (
	"context"

	"cliplease/relay"
	"cliplease/templates"
)

// uncovered says what copies leave visible, why, and who asked for it.
func (s *Server) uncovered(ctx context.Context, all []relay.Exception) (out []templates.Uncovered, err error) {
	for _, x := range all {
		u := templates.Uncovered{What: laneName(x.Kind), From: float64(x.FromMS) / 1000, To: float64(x.ToMS) / 1000, Reason: x.Reason}
		if u.By, err = s.memberName(ctx, x.By); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// leaving says how much an event leaves visible, or nothing.
func leaving(l templates.Lang, e event) string {
	if n, _ := e.Data["uncovered"].(float64); n > 0 {
		return l.T(" with %s uncovered", l.Plural(int(n), "thing"))
	}
	return ""
}

// toLeave says how much an event asks to leave visible, or nothing.
func toLeave(l templates.Lang, e event) string {
	if n, _ := e.Data["to_uncover"].(float64); n > 0 {
		return l.T(" to uncover %s", l.Plural(int(n), "thing"))
	}
	return ""
}
