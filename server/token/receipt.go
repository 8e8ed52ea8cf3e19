package token

import (
	"cliplease/relay"
	"cliplease/storage"

	"github.com/go-json-experiment/json"
)

// ReceiptClaims is what the relay states when it has stored a request. It follows from the
// request alone, so that it tells nothing of the home and is the same when it is asked for
// again.
type ReceiptClaims struct {
	RequestSHA256 string `json:"request_sha256"` // hex digest of the compact token as received
	RequestID     string `json:"request_id"`
	ReceivedAt    string `json:"received_at"` // RFC 3339, UTC, whole seconds
	RespondBy     string `json:"respond_by"`  // when silence becomes "closed"
}

// MintReceipt signs the receipt of a stored request. The same request gives the same bytes.
func MintReceipt(id storage.Identity, q relay.Request) (string, error) {
	return Sign(id.Relay, Receipt, ReceiptClaims{
		RequestSHA256: q.SHA256, RequestID: q.ID, ReceivedAt: relay.Stamp(q.ReceivedAt), RespondBy: relay.Stamp(q.RespondBy),
	})
}

// ParseReceipt reads a receipt and checks it with the relay's key. Without a key (its Key is
// nil) the form alone is checked: who has no key of the relay yet learns it another way.
func ParseReceipt(raw string, key relay.PublicKey) (ReceiptClaims, error) {
	t, err := Parse(raw, Receipt)
	if err != nil {
		return ReceiptClaims{}, err
	}
	if key.Key != nil {
		if err := t.Verify(key); err != nil {
			return ReceiptClaims{}, err
		}
	}
	var c ReceiptClaims
	if err := json.Unmarshal(t.Payload, &c, json.RejectUnknownMembers(true)); err != nil {
		return ReceiptClaims{}, ErrInvalid
	}
	return c, nil
}
