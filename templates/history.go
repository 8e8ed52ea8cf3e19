package templates

// History is what an agency asked for over time, or asked for one case, with what became of it.
type History struct {
	Layout
	Agency, AgencyID string
	Verified, Tone   string
	Case             string   // shown alone when not empty
	Cases            []string // all of the agency, the latest first
	Asked            []Asked  // newest first
	Released         int      // release copies that were ever shared
	Watched          int      // times
	Stopped          int      // requests that the rules stopped or held
}

// Asked is one request with what the rules said of it and what was made from it.
type Asked struct {
	RequestCard
	Findings []Finding
	Made     []Made
}

// Made is a release with who held it.
type Made struct {
	ReleaseRow
	Leases []Lease // none before it was signed
}
