// Package relay holds the rules of cliplease: what a request, a release, a grant and a link
// are, how they may move, who may move them, and what is written down when they do.
//
// It is plain types and pure functions. Nothing here reads a clock, a file or the network:
// callers pass the time, and store what a move returns.
//
// # The life of a request
//
//	agency ──signed request──▶ pending ──▶ closed (declined, withdrawn, stopped by a rule, past its deadline)
//	                             │
//	                 homeowner prepares a release
//	                             ▼
//	                        preparing ──▶ failed ──▶ preparing
//	                             │
//	                             ▼
//	                          review ──edited──▶ preparing
//	                             │    ╲
//	                   signed grant     ╲──▶ discarded
//	                             ▼
//	                           live ──▶ revoked (homeowner) or expired (time)
//
// A link has no stored state: [Link.Usable] reads its expiry, its views and the release it
// belongs to. What an agency may see of all this is [Request.AgencyView], which is computed
// from the agency's own request, the time, and whether something was released to it.
package relay
