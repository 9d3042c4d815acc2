package web

import "github.com/authledger/authledger/api/delivery"

// InboxCards is the Config.Inbox over the gateway of a demonstration. The
// numbers are masked; the texts, with their codes, are not.
func InboxCards(b *delivery.Inbox) func(userID string) []Card {
	return func(userID string) []Card {
		var out []Card
		for _, m := range b.Messages(userID) {
			c := Card{ID: m.ID, Kind: string(m.Kind), Text: string(m.Text), Topic: m.Topic, At: m.At}
			if m.To != "" {
				c.To = Mask(string(m.To))
			}
			out = append(out, c)
		}
		return out
	}
}
