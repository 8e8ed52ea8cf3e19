package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"cliplease/relay"
	"cliplease/server/token"

	"github.com/spf13/cobra"
)

// agencyCommand is everything around agencies: the home registers one, and the agency's own
// client asks, waits and fetches.
func agencyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agency",
		Short: "Register an agency; ask, wait and fetch as one",
		Long: `Register an agency at a relay (add), or speak to a relay as an agency (all others). The
client is the reference for the API that https://api.<relay>/openapi.json describes.

Exit codes: 0 done, 1 refused by the relay, 2 wrong command line, 4 the relay cannot be reached.`,
	}
	cmd.AddCommand(agencyKeygenCommand(), agencyAddCommand(), agencyRequestCommand(), agencyPollCommand(), agencyWithdrawCommand(),
		agencyOpenCommand(), agencyAcknowledgeCommand(), agencyDestroyedCommand(), agencyRotateCommand())
	return cmd
}

// required says which flag is missing.
func required(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if !cmd.Flags().Changed(name) {
			return exitWith(exitUsage, fmt.Errorf("--%s is needed; see %q", name, cmd.CommandPath()+" --help"))
		}
	}
	return nil
}

// oneArgument wants exactly one argument, which the usage names.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return exitWith(exitUsage, fmt.Errorf("name one %s; see %q", what, cmd.CommandPath()+" --help"))
		}
		return nil
	}
}

// printJSON prints v on one line, or indented for people.
func printJSON(w io.Writer, v any, indent bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// clientFlags are those of every command that speaks as an agency.
type clientFlags struct{ key, relay string }

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.key, "key", "", "the agency's key `file`, made by \"agency keygen\"")
	cmd.Flags().StringVar(&f.relay, "relay", "", "`URL` of the relay's API, such as https://api.relay.example")
}

func (f *clientFlags) client(cmd *cobra.Command) (*agencyClient, error) {
	if err := required(cmd, "key", "relay"); err != nil {
		return nil, err
	}
	key, err := readAgencyKey(f.key)
	if err != nil {
		return nil, err
	}
	return newAgencyClient(key, f.relay)
}

func agencyKeygenCommand() *cobra.Command {
	var agency, out, alg string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "keygen --agency URN --out FILE",
		Short: "Make an agency's signing key",
		Long: `Makes a signing key and writes it to a file that only you can read. The public half goes to
standard output, as the key set that a homeowner registers; the eight words, which you read to the
homeowner when they call back, go to standard error.`,
		Example: "  cliplease agency keygen --agency urn:cliplease:agency:us-mn-exampleville-pd --out agency.key > agency.jwks.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "agency", "out"); err != nil {
				return err
			}
			if err := relay.CheckAgencyID(agency); err != nil {
				return exitWith(exitUsage, err)
			}
			k, err := newAgencyKey(agency, alg)
			if err != nil {
				return err
			}
			raw, err := json.MarshalIndent(k, "", "  ")
			if err != nil {
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return exitWith(exitUsage, fmt.Errorf("key file: %w", err))
			}
			if _, err = f.Write(append(raw, '\n')); err == nil {
				err = f.Sync()
			}
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("key file: %w", err)
			}
			set := struct {
				Keys []json.RawMessage `json:"keys"`
			}{[]json.RawMessage{json.RawMessage(k.public.JWK)}}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"agency": agency, "kid": k.KID, "words": k.public.Words(), "jwks": set}, false)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Secret key: %s (keep it; nobody can make it again)\nKey id:     %s\nRead these words to the homeowner who calls back:\n  %s\n", out, k.KID, k.public.Words())
			return printJSON(cmd.OutOrStdout(), set, false)
		},
	}
	cmd.Flags().StringVar(&agency, "agency", "", "the agency's id, `urn:cliplease:agency:NAME`")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write the secret key to; it must not exist")
	cmd.Flags().StringVar(&alg, "alg", relay.AlgEdDSA, "kind of key: EdDSA or ES256")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print id, words and key set as one JSON object")
	return cmd
}

func agencyAddCommand() *cobra.Command {
	var flags configFlags
	var a relay.Agency
	var level, jwks string
	var valid time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "add --id URN --name NAME --domain DOMAIN --jwks FILE --how HOW",
		Short: "Register an agency at your relay",
		Long: `Registers an agency with its public keys. Before you do, call it on a number that you found
yourself and compare the eight words that this command prints: they stand for the key. Say in
--how whom you called and where you found the number; it is kept with the agency.`,
		Example: `  cliplease agency add --id urn:cliplease:agency:us-mn-exampleville-pd --name "Exampleville Police" --level local \
    --domain police.example --jwks agency.jwks.json --how "called the records office, number from the city's site"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := required(cmd, "id", "name", "domain", "jwks", "how"); err != nil {
				return err
			}
			raw, err := os.ReadFile(jwks)
			if err != nil {
				return exitWith(exitUsage, fmt.Errorf("key set: %w", err))
			}
			keys, err := relay.ParseJWKS(raw)
			if err != nil {
				return exitWith(exitUsage, err)
			}
			now := time.Now()
			a.Level, a.Status, a.VerifiedBy, a.VerifiedAt, a.VerifiedUntil, a.CreatedAt = relay.Level(level), relay.AgencyActive, "command line", now, now.Add(valid), now
			a.VerifiedHow = strings.TrimSpace(a.VerifiedHow)
			if err := a.Validate(); err != nil {
				return exitWith(exitUsage, err)
			}
			if a.VerifiedHow == "" {
				return exitWith(exitUsage, errors.New("--how: say whom you called and where you found the number"))
			}
			if valid < time.Hour || valid > 366*24*time.Hour {
				return exitWith(exitUsage, errors.New("--valid is one hour to 366 days (8784h)"))
			}
			_, store, err := flags.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			var pinned []relay.AgencyKey
			words := map[string]string{}
			for _, k := range keys {
				pinned = append(pinned, k.Pin(a.ID, now, a.VerifiedUntil))
				words[k.KID] = k.Words()
			}
			err = store.DB.RegisterAgency(cmd.Context(), a, pinned, "command line", now)
			if errors.Is(err, relay.ErrConflict) {
				return fmt.Errorf("%s, or one of its keys, is registered already", a.ID)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"id": a.ID, "words": words, "verified_until": relay.Stamp(a.VerifiedUntil)}, false)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may file requests until %s.\n", a.Name, a.VerifiedUntil.Format(time.DateOnly))
			for kid, w := range words {
				fmt.Fprintf(cmd.OutOrStdout(), "The words of key %s…, as the agency must have read them to you:\n  %s\n", kid[:8], w)
			}
			return nil
		},
	}
	flags.add(cmd)
	f := cmd.Flags()
	f.StringVar(&a.ID, "id", "", "`urn:cliplease:agency:NAME`")
	f.StringVar(&a.Name, "name", "", "the agency's full name")
	f.StringVar(&level, "level", string(relay.LevelLocal), "local, county, state, federal or other")
	f.StringVar(&a.Jurisdiction, "jurisdiction", "", "where it is competent")
	f.StringSliceVar(&a.Domains, "domain", nil, "mail `domain` of its recipients; may be given more than once")
	f.StringVar(&a.Phone, "phone", "", "telephone number that you found yourself")
	f.StringVar(&a.Complaints, "complaints", "", "where a person complains about it")
	f.StringVar(&jwks, "jwks", "", "`file` with its public keys")
	f.StringVar(&a.VerifiedHow, "how", "", "how you made sure that it is the agency and its key")
	f.DurationVar(&valid, "valid", 365*24*time.Hour, "for how long, until you verify it again")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func agencyRequestCommand() *cobra.Command {
	var flags clientFlags
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "request --key FILE --relay URL --file REQUEST.json",
		Short: "Sign and file a request",
		Long: `Signs a request and files it. The file holds the claims; iss, aud, iat, exp, jti and ver are filled
in, and so are sub and respond_by (in seven days; urgent: one) where they are missing. What the
command prints is the relay's receipt, read and as it was signed.`,
		Example: "  cliplease agency request --key agency.key --relay https://api.relay.example --file request.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			if err := required(cmd, "file"); err != nil {
				return err
			}
			claims, err := readClaims(file)
			if err != nil {
				return err
			}
			a.fill(claims)
			filed, err := a.file(cmd.Context(), claims)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), filed, !asJSON)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&file, "file", "", "`file` with the claims (JSON), or - for standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the receipt on one line")
	return cmd
}

// readClaims reads the claims of a request as they are: the relay checks them.
func readClaims(path string) (map[string]any, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(os.Stdin, token.MaxBytes))
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("request: %w", err))
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, exitWith(exitUsage, fmt.Errorf("%s is no JSON object: %w", path, err))
	}
	claims := map[string]any{}
	for k, v := range members {
		claims[k] = v // numbers and texts stay as they are written
	}
	return claims, nil
}

// fill adds what a request says that its file need not.
func (a *agencyClient) fill(claims map[string]any) {
	call := a.call(300)
	claims["iss"], claims["aud"], claims["iat"], claims["exp"] = call.Issuer, call.Audience, call.IssuedAt, call.Expires
	claims["jti"], claims["ver"] = call.TokenID, call.Version
	if _, ok := claims["sub"]; !ok {
		claims["sub"] = "not named"
	}
	if _, ok := claims["respond_by"]; !ok {
		wait := 7 * 24 * time.Hour
		if lane, ok := claims["lane"].(json.RawMessage); ok && string(lane) == `"`+string(relay.LaneExigent)+`"` {
			wait = 24 * time.Hour
		}
		claims["respond_by"] = relay.Stamp(a.now().Add(wait))
	}
}

func agencyPollCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "poll --key FILE --relay URL REQUEST_ID",
		Short: "Ask how a request stands",
		Long: `Prints {"state":"pending"}, {"state":"released","release_id":…} or {"state":"closed"}, which is all that a relay says. After a
release ended it says {"state":"closed","ended":true,"notice":…}; answer that with "agency acknowledge".`,
		Example: "  cliplease agency poll --key agency.key --relay https://api.relay.example 5v3p2…",
		Args:    oneArgument("request id, as the receipt gives it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			s, err := a.poll(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), s, false)
		},
	}
	flags.add(cmd)
	cmd.Flags().Bool("json", true, "the answer is always JSON")
	return cmd
}

func agencyWithdrawCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:     "withdraw --key FILE --relay URL REQUEST_ID",
		Short:   "Take a request back",
		Example: "  cliplease agency withdraw --key agency.key --relay https://api.relay.example 5v3p2…",
		Args:    oneArgument("request id, as the receipt gives it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			s, err := a.withdraw(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), s, false)
		},
	}
	flags.add(cmd)
	cmd.Flags().Bool("json", true, "the answer is always JSON")
	return cmd
}

func agencyOpenCommand() *cobra.Command {
	var flags clientFlags
	var release, out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "open --key FILE --relay URL --release ID --out FILE.mp4",
		Short: "Fetch a release as a key recipient",
		Long: `Opens a release that was made for this key and fetches its release copy. Opening counts one view.
A fetch that broke off goes on where it was when it is started again; while the session of last
time lasts, that counts no other view. The file gets its name only when its SHA-256 is right.`,
		Example: "  cliplease agency open --key agency.key --relay https://api.relay.example --release 7q4k… --out clip.mp4",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			if err := required(cmd, "release", "out"); err != nil {
				return err
			}
			o, err := a.fetch(cmd.Context(), release, out, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if !o.Download {
				fmt.Fprintln(cmd.ErrOrStderr(), "The home granted this for viewing only: do not keep the file.")
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"release_id": o.ReleaseID, "file": out, "bytes": o.Bytes, "sha256": o.SHA256, "download": o.Download}, false)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes, SHA-256 %s\n", out, o.Bytes, o.SHA256)
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&release, "release", "", "release `id`, as a poll gives it")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write; it must not exist")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func agencyDestroyedCommand() *cobra.Command {
	var flags clientFlags
	var release, statement string
	cmd := &cobra.Command{
		Use:     "destroyed --key FILE --relay URL --release ID --statement TEXT",
		Short:   "Attest that the copies of a release were destroyed",
		Example: `  cliplease agency destroyed --key agency.key --relay https://api.relay.example --release 7q4k… --statement "deleted from the evidence system"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			if err := required(cmd, "release", "statement"); err != nil {
				return err
			}
			call := a.call(300)
			var out struct {
				ReleaseID  string `json:"release_id"`
				RecordedAt string `json:"recorded_at"`
			}
			if err := a.send(cmd.Context(), "/a/v1/releases/destroyed", token.Destroyed, relay.DestroyedClaims{Call: call, ReleaseID: release,
				DestroyedAt: time.Unix(call.IssuedAt, 0).UTC(), Statement: statement}, &out); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), out, false)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&release, "release", "", "release `id`")
	cmd.Flags().StringVar(&statement, "statement", "", "how the copies were destroyed, and by whom")
	return cmd
}

func agencyAcknowledgeCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "acknowledge --key FILE --relay URL REQUEST_ID",
		Short: "Acknowledge that a release is over",
		Long: `Polls a request, reads the relay's signed notice that the release to it is over, and tells the
relay that the agency has it. Destroying the copies is attested apart, with "agency destroyed".`,
		Example: "  cliplease agency acknowledge --key agency.key --relay https://api.relay.example 5v3p2…",
		Args:    oneArgument("request id, as the receipt gives it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			out, err := a.acknowledge(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), out, false)
		},
	}
	flags.add(cmd)
	cmd.Flags().Bool("json", true, "the answer is always JSON")
	return cmd
}

func agencyRotateCommand() *cobra.Command {
	var flags clientFlags
	var next string
	cmd := &cobra.Command{
		Use:     "rotate --key FILE --relay URL --new-key FILE",
		Short:   "Bring a new key, signed by the one in use",
		Long:    "Tells a relay of the agency's new key, made by \"agency keygen\". It may sign after 48 hours, unless the home objects.",
		Example: "  cliplease agency rotate --key agency.key --relay https://api.relay.example --new-key agency-2027.key",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := flags.client(cmd)
			if err != nil {
				return err
			}
			if err := required(cmd, "new-key"); err != nil {
				return err
			}
			fresh, err := readAgencyKey(next)
			if err != nil {
				return err
			}
			call := a.call(300)
			proof, err := token.Sign(fresh.signer, token.KeyProof, relay.KeyProof{Issuer: call.Issuer, Audience: call.Audience, TokenID: call.TokenID})
			if err != nil {
				return err
			}
			var out struct {
				KID       string `json:"kid"`
				NotBefore string `json:"not_before"`
				NotAfter  string `json:"not_after"`
			}
			if err := a.send(cmd.Context(), "/a/v1/keys/rotate", token.KeyRotate, relay.RotateClaims{Call: call, JWK: []byte(fresh.public.JWK), Proof: proof}, &out); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), out, false)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&next, "new-key", "", "the new key's `file`")
	return cmd
}
