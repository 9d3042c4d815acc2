package domain

import (
	"fmt"
	"time"
)

// Client facts (domain.md 6.1): who the legal holder is, which entity carries
// the account, who the holders are and where they live.

// RegisterClient creates a client's stream. Repeating it with the same content
// changes nothing; other content is the error Exists.
type RegisterClient struct {
	ClientID       string // derived from the broker's reference
	Kind           ClientKind
	CarryingEntity string
	CarryingCC     string // ISO 3166-1 alpha-2
	Domicile       string // organisations; optional
}

// AssignCarryingEntity moves the client's accounts to another entity from a date on.
type AssignCarryingEntity struct {
	ClientID       string
	CarryingEntity string
	CarryingCC     string
	EffectiveOn    string // ISO 8601 date
}

// AddHolder adds a holder of a joint account.
type AddHolder struct {
	ClientID    string
	PersonRef   string // the broker's opaque reference
	Residence   string
	EffectiveOn string
}

// RemoveHolder removes a holder of a joint account.
type RemoveHolder struct {
	ClientID    string
	PersonRef   string
	EffectiveOn string
}

// RecordHolderResidence records that a holder of a joint account moved.
type RecordHolderResidence struct {
	ClientID    string
	PersonRef   string
	To          string
	EffectiveOn string
	EvidenceRef string
}

// RecordDomicile records that an organisation moved its seat.
type RecordDomicile struct {
	ClientID    string
	To          string
	EffectiveOn string
	EvidenceRef string
}

// ClientRegistered is the first event of a client's stream.
type ClientRegistered struct {
	ClientID       string     `json:"client_id"`
	Kind           ClientKind `json:"kind"`
	CarryingEntity string     `json:"carrying_entity"`
	CarryingCC     string     `json:"carrying_cc"`
	Domicile       string     `json:"domicile,omitempty"`
}

// CarryingEntityAssigned moves the accounts from a date on.
type CarryingEntityAssigned struct {
	CarryingEntity string `json:"carrying_entity"`
	CarryingCC     string `json:"carrying_cc"`
	EffectiveOn    string `json:"effective_on"`
}

// HolderAdded adds a holder with residence.
type HolderAdded struct {
	PersonRef   string `json:"person_ref"`
	Residence   string `json:"residence"`
	EffectiveOn string `json:"effective_on"`
}

// HolderRemoved removes a holder.
type HolderRemoved struct {
	PersonRef   string `json:"person_ref"`
	EffectiveOn string `json:"effective_on"`
}

// DomicileChanged records an organisation's seat from a date on.
type DomicileChanged struct {
	From        string    `json:"from,omitempty"`
	To          string    `json:"to"`
	EffectiveOn string    `json:"effective_on"`
	DetectedAt  time.Time `json:"detected_at"`
	EvidenceRef string    `json:"evidence_ref,omitempty"`
}

// Client is what one client's stream adds up to.
type Client struct {
	ID         string
	Kind       ClientKind
	registered bool
	first      ClientRegistered
	carrying   []datedCountry
	domicile   []datedCountry
	holders    map[string][]datedCountry // by person; cc is removed from the day of removal
	order      []string
}

func newClient(id string) *Client { return &Client{ID: id, holders: map[string][]datedCountry{}} }

// Registered reports whether the stream holds a client.
func (c *Client) Registered() bool { return c.registered }

// CarryingCC is the country of the entity that carries the accounts at a
// moment; empty when unknown.
func (c *Client) CarryingCC(at time.Time, p *Policy) string {
	return latest(c.carrying, at, p)
}

// Domicile is the country of an organisation's seat at a moment; empty when
// unknown.
func (c *Client) Domicile(at time.Time, p *Policy) string { return latest(c.domicile, at, p) }

// HolderResidences lists the countries of the holders at a moment, in the
// order the holders were added.
func (c *Client) HolderResidences(at time.Time, p *Policy) []string {
	out := []string{}
	for _, person := range c.order {
		if cc := latest(c.holders[person], at, p); cc != "" && cc != removed {
			out = append(out, cc)
		}
	}
	return out
}

// removed stands for the country of a holder who left.
const removed = "-"

// registeredOn dates what held when the client was registered: always before.
const registeredOn = "0001-01-01"

// Apply records an event.
func (c *Client) Apply(e Event, _ time.Time) {
	switch e := e.(type) {
	case ClientRegistered:
		c.registered, c.first, c.Kind = true, e, e.Kind
		if e.Domicile != "" {
			c.domicile = append(c.domicile, datedCountry{cc: e.Domicile, on: registeredOn})
		}
		c.carrying = append(c.carrying, datedCountry{cc: e.CarryingCC, on: registeredOn})
	case CarryingEntityAssigned:
		c.carrying = append(c.carrying, datedCountry{cc: e.CarryingCC, on: e.EffectiveOn})
	case HolderAdded:
		if _, ok := c.holders[e.PersonRef]; !ok {
			c.order = append(c.order, e.PersonRef)
		}
		c.holders[e.PersonRef] = append(c.holders[e.PersonRef], datedCountry{cc: e.Residence, on: e.EffectiveOn})
	case ResidenceChanged:
		c.holders[e.PersonRef] = append(c.holders[e.PersonRef], datedCountry{cc: e.To, on: e.EffectiveOn, moved: true})
	case DomicileChanged:
		c.domicile = append(c.domicile, datedCountry{cc: e.To, on: e.EffectiveOn})
	case HolderRemoved:
		c.holders[e.PersonRef] = append(c.holders[e.PersonRef], datedCountry{cc: removed, on: e.EffectiveOn})
	}
}

func decideClient(c *Client, cmd Command, now time.Time) ([]Event, error) {
	if cmd, ok := cmd.(RegisterClient); ok {
		return c.register(cmd)
	}
	if !c.registered {
		return nil, unknown("client")
	}
	switch cmd := cmd.(type) {
	case AssignCarryingEntity:
		if err := firstError(checkCC("carryingCc", cmd.CarryingCC), checkDate("effectiveOn", cmd.EffectiveOn)); err != nil {
			return nil, err
		}
		return []Event{CarryingEntityAssigned{CarryingEntity: cmd.CarryingEntity, CarryingCC: cmd.CarryingCC, EffectiveOn: cmd.EffectiveOn}}, nil
	case AddHolder:
		if err := firstError(checkCC("residence", cmd.Residence), checkDate("effectiveOn", cmd.EffectiveOn)); err != nil {
			return nil, err
		}
		return []Event{HolderAdded{PersonRef: cmd.PersonRef, Residence: cmd.Residence, EffectiveOn: cmd.EffectiveOn}}, nil
	case RecordHolderResidence:
		return c.moveHolder(cmd, now)
	case RecordDomicile:
		return c.moveSeat(cmd, now)
	case RemoveHolder:
		if err := checkDate("effectiveOn", cmd.EffectiveOn); err != nil {
			return nil, err
		}
		if _, ok := c.holders[cmd.PersonRef]; !ok {
			return nil, unknown("holder")
		}
		return []Event{HolderRemoved{PersonRef: cmd.PersonRef, EffectiveOn: cmd.EffectiveOn}}, nil
	}
	return nil, fmt.Errorf("command %s does not belong to a client", cmd.Name())
}

func newest(dated []datedCountry) string {
	if len(dated) == 0 {
		return ""
	}
	return dated[len(dated)-1].cc
}

func (c *Client) moveHolder(cmd RecordHolderResidence, now time.Time) ([]Event, error) {
	if err := firstError(checkCC("residence", cmd.To), checkDate("effectiveOn", cmd.EffectiveOn)); err != nil {
		return nil, err
	}
	held := newest(c.holders[cmd.PersonRef])
	if held == "" || held == removed {
		return nil, unknown("holder")
	}
	return []Event{ResidenceChanged{
		PersonRef: cmd.PersonRef, From: held, To: cmd.To, EffectiveOn: cmd.EffectiveOn, DetectedAt: now, EvidenceRef: cmd.EvidenceRef,
	}}, nil
}

func (c *Client) moveSeat(cmd RecordDomicile, now time.Time) ([]Event, error) {
	if err := firstError(checkCC("domicile", cmd.To), checkDate("effectiveOn", cmd.EffectiveOn)); err != nil {
		return nil, err
	}
	if c.Kind != Organisation {
		return nil, invalid("domicile", "only an organisation has a domicile")
	}
	return []Event{DomicileChanged{
		From: newest(c.domicile), To: cmd.To, EffectiveOn: cmd.EffectiveOn, DetectedAt: now, EvidenceRef: cmd.EvidenceRef,
	}}, nil
}

func (c *Client) register(cmd RegisterClient) ([]Event, error) {
	if err := checkCC("carryingCc", cmd.CarryingCC); err != nil {
		return nil, err
	}
	if cmd.Domicile != "" {
		if err := checkCC("domicile", cmd.Domicile); err != nil {
			return nil, err
		}
	}
	e := ClientRegistered(cmd)
	if c.registered {
		if c.first == e {
			return nil, nil
		}
		return nil, &Error{Code: Exists, Detail: "this client reference is registered with other content; change facts by their own calls"}
	}
	return []Event{e}, nil
}
