package domain

// Client facts (domain.md 6.1): who the legal holder is, which entity carries
// the account, who the holders are and where they live.

// RegisterClient creates a client's stream. Repeating it with the same content
// changes nothing; other content is ErrExists.
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
