package relay

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
)

// EffectKind is what a rule does with a request for which it holds true. There is no effect
// that approves: a rule can only stop, hold, narrow or point something out.
type EffectKind string

// The effects, from the strictest to the mildest.
const (
	EffectStop  EffectKind = "stop"  // the request is closed; nobody is disturbed
	EffectHold  EffectKind = "hold"  // a member confirms that they read why, and the release is made under stricter terms
	EffectCap   EffectKind = "cap"   // the release can be no larger, longer or more often watched
	EffectLabel EffectKind = "label" // the request is shown with a label
	EffectQuiet EffectKind = "quiet" // members are told later; what may be released is as without the rule
)

// Effects lists every [EffectKind].
func Effects() []EffectKind {
	return []EffectKind{EffectStop, EffectHold, EffectCap, EffectLabel, EffectQuiet}
}

// Effect is what a rule does, with its terms. Terms of other kinds are empty.
type Effect struct {
	Kind          EffectKind `json:"kind"`
	Quorum        int        `json:"quorum,omitempty"`         // hold: this many members sign
	KeyOnly       bool       `json:"key_only,omitempty"`       // hold: only to systems that prove a key
	FullRedaction bool       `json:"full_redaction,omitempty"` // hold: solid colour, nothing uncovered by hand
	MaxMinutes    int        `json:"max_minutes,omitempty"`    // cap: of footage
	MaxViews      int        `json:"max_views,omitempty"`      // cap: for each recipient
	MaxDays       int        `json:"max_days,omitempty"`       // cap: of the lease
	Label         string     `json:"label,omitempty"`          // label
}

// Rule is one standing rule of the home: a condition over what an agency declares, and what
// then happens.
type Rule struct {
	ID        string
	Name      string // what the home reads when the rule has spoken
	Preset    string // the form that made it, or "" when it was written by hand
	When      string // CEL over req ([Facts]) and now, of type bool
	Effect    Effect
	On        bool
	CreatedAt time.Time
}

// Limits of rules.
const (
	RulesMax    = 100
	RuleNameMax = 120
	RuleMax     = 2000 // characters of a condition
	LabelMax    = 80
	QuorumMax   = 5

	ruleCost = 50_000                // CEL's own count of steps
	ruleTime = 50 * time.Millisecond // for one rule
)

// Facts is what a rule may know of a request: what the agency declared and signed, what the
// home registered about the agency and its own camera, and the time at which it came.
type Facts struct {
	Lane      string         `cel:"lane"`
	Officer   string         `cel:"officer"`
	Purpose   FactsPurpose   `cel:"purpose"`
	Basis     FactsBasis     `cel:"basis"`
	Case      FactsCase      `cel:"case"`
	Scope     FactsScope     `cel:"scope"`
	Retention FactsRetention `cel:"retention"`
	Onward    FactsOnward    `cel:"onward"`
	Agency    FactsAgency    `cel:"agency"`
	Camera    FactsCamera    `cel:"camera"`
	To        FactsTo        `cel:"to"`
	Amends    bool           `cel:"amends"`   // it amends an earlier request
	Received  time.Time      `cel:"received"` //
	RespondBy time.Time      `cel:"respond_by"`
}

// FactsPurpose is the purpose as declared.
type FactsPurpose struct {
	Code string `cel:"code"`
	Text string `cel:"text"`
}

// FactsBasis is the legal basis as declared.
type FactsBasis struct {
	Kind       string `cel:"kind"`
	Citation   string `cel:"citation"`
	Document   bool   `cel:"document"` // the digest of a document is given
	Compulsory bool   `cel:"compulsory"`
}

// FactsCase is the agency's case.
type FactsCase struct {
	Ref    string `cel:"ref"`
	Opened string `cel:"opened"` // 2006-01-02
}

// FactsScope is which footage is asked for.
type FactsScope struct {
	From    time.Time `cel:"from"`
	To      time.Time `cel:"to"`
	Minutes float64   `cel:"minutes"` // of footage at most
	Window  float64   `cel:"window"`  // minutes from first to last moment
	Faces   bool      `cel:"faces"`   // faces are asked to be left visible
	Audio   bool      `cel:"audio"`
}

// FactsRetention is how long the agency says it keeps a clip.
type FactsRetention struct {
	Days    int64  `cel:"days"`
	Trigger string `cel:"trigger"`
}

// FactsOnward is with whom the agency says it shares a clip.
type FactsOnward struct {
	Policy      string   `cel:"policy"`
	Recipients  []string `cel:"recipients"`
	Federal     bool     `cel:"federal"`
	Immigration bool     `cel:"immigration"`
	Systems     []string `cel:"systems"`
	Statement   string   `cel:"statement"`
}

// FactsAgency is what the home registered about the agency.
type FactsAgency struct {
	ID           string `cel:"id"`
	Name         string `cel:"name"`
	Level        string `cel:"level"`
	Jurisdiction string `cel:"jurisdiction"`
	Verified     bool   `cel:"verified"` // a person's check of it still counts
}

// FactsCamera is the camera that is asked for.
type FactsCamera struct {
	Handle   string `cel:"handle"` // as the agency wrote it
	Known    bool   `cel:"known"`  // the home has such a camera
	Interior bool   `cel:"interior"`
}

// FactsTo is who would get the clip.
type FactsTo struct {
	Count int64 `cel:"count"`
	Keys  int64 `cel:"keys"` // of them, systems that prove a key
}

// FactsOf gathers what rules may know of r, which agency a sent. camera is nil when the home
// has none of the name.
func FactsOf(r Request, a Agency, camera *Camera) Facts {
	c := r.Claims
	f := Facts{
		Lane: string(c.Lane), Officer: c.Subject, Purpose: FactsPurpose{string(c.Purpose.Code), c.Purpose.Text},
		Basis:     FactsBasis{string(c.LegalBasis.Kind), c.LegalBasis.Citation, c.LegalBasis.DocumentSHA256 != "", c.LegalBasis.Compulsory},
		Case:      FactsCase{c.Case.Ref, c.Case.Opened},
		Scope:     FactsScope{c.Scope.From, c.Scope.To, float64(c.Scope.MaxDuration) / 60, c.Scope.To.Sub(c.Scope.From).Minutes(), c.Scope.Faces == "unredacted_requested", c.Scope.Audio},
		Retention: FactsRetention{int64(c.Retention.Days), c.Retention.Trigger},
		Onward:    FactsOnward{c.Onward.Policy, c.Onward.Recipients, c.Onward.Federal, c.Onward.Immigration, c.Onward.Systems, c.Onward.Statement},
		Agency:    FactsAgency{a.ID, a.Name, string(a.Level), a.Jurisdiction, r.ReceivedAt.Before(a.VerifiedUntil)},
		Camera:    FactsCamera{Handle: c.Scope.Target.Handle},
		To:        FactsTo{Count: int64(len(c.Recipients))},
		Amends:    c.Amends != nil, Received: r.ReceivedAt, RespondBy: r.RespondBy,
	}
	if camera != nil {
		f.Camera.Known, f.Camera.Interior = true, camera.Interior
	}
	for _, x := range c.Recipients {
		if x.Kind == RecipientKey {
			f.To.Keys++
		}
	}
	return f
}

// ruleEnv is the language of rules: CEL over typed facts, so that a name that does not exist
// is found when a rule is saved.
var ruleEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		ext.NativeTypes(ext.ParseStructTags(true), reflect.TypeFor[Facts]()),
		cel.Variable("req", cel.ObjectType("relay.Facts")),
		cel.Variable("now", cel.TimestampType),
		ext.Strings(),
		cel.ParserExpressionSizeLimit(RuleMax),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateComprehensionNestingLimit(2)),
	)
})

// compile reads a condition. The error is for the person who wrote it.
func compile(when string) (cel.Program, error) {
	env, err := ruleEnv()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(when)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, Invalid("when", "Line %d, column %d: %s.", first.Location.Line(), first.Location.Column()+1, strings.TrimRight(first.Message, "."))
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, Invalid("when", "A rule's condition is true or false; this is of type %s.", ast.OutputType())
	}
	return env.Program(ast, cel.CostLimit(ruleCost), cel.InterruptCheckFrequency(100))
}

// holds evaluates a condition for f at now.
func holds(ctx context.Context, when string, f Facts, now time.Time) (bool, error) {
	program, err := compile(when)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, ruleTime)
	defer cancel()
	v, _, err := program.ContextEval(ctx, map[string]any{"req": f, "now": now})
	if err != nil {
		return false, err
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the condition is %s, neither true nor false", v.Type().TypeName())
	}
	return b, nil
}

// Matches says whether a condition holds for f at now. It is for trying a rule out.
func Matches(ctx context.Context, when string, f Facts, now time.Time) (bool, error) {
	return holds(ctx, when, f, now)
}

// Validate checks a rule before it is saved: its words, its effect, that its condition
// compiles, and that it can be evaluated.
func (r Rule) Validate(ctx context.Context) error {
	e := r.Effect
	switch {
	case !length(r.Name, 1, RuleNameMax):
		return Invalid("name", "Name the rule in 1 to %d characters.", RuleNameMax)
	case !slices.Contains(Effects(), e.Kind):
		return Invalid("effect", "A rule does one of %v.", Effects())
	case strings.TrimSpace(r.When) == "":
		return Invalid("when", "Say when the rule applies; true applies always.")
	case len(r.When) > RuleMax:
		return Invalid("when", "Use at most %d characters.", RuleMax)
	case e.Kind != EffectHold && (e.Quorum != 0 || e.KeyOnly || e.FullRedaction):
		return Invalid("effect", "Only a rule that holds has terms for signing, keys and redaction.")
	case e.Quorum < 0 || e.Quorum == 1 || e.Quorum > QuorumMax:
		return Invalid("quorum", "Let 2 to %d members sign, or leave it at 0.", QuorumMax)
	case e.Kind == EffectCap && e.MaxMinutes == 0 && e.MaxViews == 0 && e.MaxDays == 0:
		return Invalid("max_minutes", "Say what is limited: minutes, views or days.")
	case e.Kind != EffectCap && (e.MaxMinutes != 0 || e.MaxViews != 0 || e.MaxDays != 0):
		return Invalid("effect", "Only a rule that limits has limits.")
	case e.MaxMinutes < 0 || e.MaxMinutes > int(MaxWindow.Minutes()):
		return Invalid("max_minutes", "Limit to 1 to %d minutes.", int(MaxWindow.Minutes()))
	case e.MaxViews < 0 || e.MaxViews > MaxViews:
		return Invalid("max_views", "Limit to 1 to %d views.", MaxViews)
	case e.MaxDays < 0 || e.MaxDays > int(MaxLease.Hours()/24):
		return Invalid("max_days", "Limit to 1 to %d days.", int(MaxLease.Hours()/24))
	case e.Kind == EffectLabel && !length(e.Label, 1, LabelMax):
		return Invalid("label", "Write the label in 1 to %d characters.", LabelMax)
	case e.Kind != EffectLabel && e.Label != "":
		return Invalid("label", "Only a rule that labels has a label.")
	}
	for _, f := range samples {
		if _, err := holds(ctx, r.When, f, f.Received); err != nil {
			var invalid *InvalidError
			if errors.As(err, &invalid) {
				return err
			}
			return Invalid("when", "This could not be evaluated for a sample request: %s.", strings.TrimRight(err.Error(), "."))
		}
	}
	return nil
}

// samples are requests on which every rule is tried before it is saved.
var samples = []Facts{
	{Received: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), RespondBy: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)},
	{
		Lane: "voluntary", Officer: "Det. A", Purpose: FactsPurpose{"burglary", strings.Repeat("A long text. ", 77)}, Basis: FactsBasis{Kind: "voluntary", Citation: "consent"},
		Case: FactsCase{"EPD-2026-1", "2026-01-01"}, Scope: FactsScope{time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 4, 0, 0, 0, time.UTC), 10, 60, true, false},
		Retention: FactsRetention{30, "none"}, Onward: FactsOnward{"listed", slices.Repeat([]string{"Another agency"}, ListMax), true, true, slices.Repeat([]string{"Locker"}, ListMax), "law"},
		Agency: FactsAgency{"urn:cliplease:agency:x", "X", "local", "X", true}, Camera: FactsCamera{"front-door", true, true}, To: FactsTo{8, 1}, Amends: true,
		Received: time.Date(2026, 1, 2, 23, 4, 5, 0, time.UTC), RespondBy: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC),
	},
}
