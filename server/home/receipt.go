package home

import (
	"encoding/json"
	"fmt"

	"cliplease/relay"
	"cliplease/templates"

	"github.com/gin-gonic/gin"
)

// Receipt serves GET /releases/:id/receipt: what the signed grant allows, in words, to keep or
// print. It is not there before the release is signed by all who have to.
func (s *Server) Receipt(c *gin.Context) error {
	ctx := c.Request.Context()
	rel, err := s.db.Release(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if rel.Grant == nil {
		return relay.ErrNotFound
	}
	q, err := s.db.Request(ctx, rel.RequestID)
	if err != nil {
		return err
	}
	row, err := s.row(ctx, rel)
	if err != nil {
		return err
	}
	record, err := s.db.GrantOf(ctx, rel.ID)
	if err != nil {
		return err
	}
	var g relay.Grant
	if err := json.Unmarshal(rel.Grant, &g); err != nil {
		return fmt.Errorf("release %s: its grant is damaged: %w", rel.ID, err)
	}
	_, zone, err := s.shot(ctx, rel)
	if err != nil {
		return err
	}
	p := templates.Receipt{
		Layout: s.layout(c, "releases", templates.Spoken(ctx).T("Receipt for a release to %s", row.Agency)), ReleaseRow: row, Compelled: g.Type == relay.TypeCompelled,
		Granted: rel.GrantedAt.In(zone), Until: rel.ExpiresAt.In(zone), MaxViews: g.Access.MaxViews, Download: g.Access.Download,
		Style: string(rel.Draft.Style), Use: g.Conditions.Use, Keeps: keeps(templates.Spoken(ctx), q.Claims.Retention), Onward: onward(templates.Spoken(ctx), q.Claims.Onward),
		GrantID: rel.GrantID, GrantHash: relay.GrantHash(rel.Grant), LogIndex: record.LogIndex, LogAddress: s.site.LogOrigin(),
		EvidenceAddress: s.site.Home + "/releases/" + rel.ID + "/evidence.zip", EvidenceName: evidenceName(rel),
	}
	if p.Words, err = relay.CheckWords(p.GrantHash, 4); err != nil {
		return err
	}
	if p.SignedBy, err = s.signedBy(ctx, record); err != nil {
		return err
	}
	edits, err := relay.ParseEdits(rel.Draft.Edits, rel.Draft.To.Sub(rel.Draft.From))
	if err != nil {
		return err
	}
	for _, e := range edits {
		if e.Kind != relay.EditException {
			p.Drawn++
		}
	}
	if p.Uncovered, err = s.uncovered(ctx, g.Redaction.Exceptions); err != nil {
		return err
	}
	for _, copy := range rel.Copies {
		p.Copies = append(p.Copies, templates.CopyView{ID: copy.ID, Recipient: recipientName(copy.Recipient), Address: recipientAddress(copy.Recipient), Size: copy.Bytes, SHA256: copy.SHA256})
	}
	return page(c, "receipt", p)
}
