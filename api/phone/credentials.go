package phone

import (
	"context"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
)

// Credentials lists the temporary passcodes and reset passwords that wait in
// this app, without what they are.
func (p *Phone) Credentials(ctx context.Context) ([]gen.WaitingCredential, error) {
	s, err := load(p.path)
	if err != nil {
		return nil, err
	}
	var list gen.CredentialList
	err = p.get(ctx, s, "/v1/installations/"+s.InstallationID+"/credentials", &list)
	return list.Items, err
}

// Collect fetches one of them, after the local check. It is shown once.
func (p *Phone) Collect(ctx context.Context, deliveryID string, u Unlock) (string, error) {
	s, _, err := p.unlocked(ctx, u)
	if err != nil {
		return "", err
	}
	proof, err := p.proof(s, func(at string) string { return collectText(deliveryID, at) })
	if err != nil {
		return "", err
	}
	var answer gen.CollectedCredential
	path := "/v1/installations/" + s.InstallationID + "/credentials/" + deliveryID + "/collection"
	_, err = client.New(s.Server, p.key).Post(ctx, path, gen.CollectCredentialRequest{Proof: proof}, &answer)
	return answer.Credential, err
}
