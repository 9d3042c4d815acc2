package api

import (
	"slices"
	"strings"

	"github.com/authledger/authledger/api/access"
)

// rule says who may call a route and whether it appends.
type rule struct {
	roles   []access.Role
	public  bool // no key needed
	appends bool // an Idempotency-Key is needed
	demo    bool // exists only in demo mode
	// signedKey lets the message id of a signed webhook stand for the key.
	signedKey bool
}

var (
	frontend   = []access.Role{access.Frontend}
	device     = []access.Role{access.Device}
	gateway    = []access.Role{access.Gateway}
	operator   = []access.Role{access.Operator}
	lawyers    = []access.Role{access.Compliance}
	guards     = []access.Role{access.Operator, access.Incident}
	facts      = []access.Role{access.Frontend, access.Operator}
	app        = []access.Role{access.Frontend, access.Device}
	readers    = []access.Role{access.Auditor, access.Incident, access.Compliance}
	exporters  = []access.Role{access.Auditor, access.Compliance}
	watchers   = []access.Role{access.Operator, access.Auditor, access.Incident, access.Compliance}
	viewers    = []access.Role{access.Frontend, access.Operator, access.Auditor, access.Incident, access.Compliance}
	keepers    = []access.Role{access.Operator, access.Auditor, access.Compliance}
	demo       = []access.Role{access.Frontend, access.Device, access.Operator, access.Auditor}
	forgetters = []access.Role{access.Operator, access.Compliance}
	revealers  = []access.Role{access.Incident, access.Compliance}
)

// rules is the only table of who may call what, by method and route pattern.
// A route without a row is refused for everybody; a test walks all routes.
var rules = map[string]rule{
	"GET /healthz":        {public: true},
	"GET /readyz":         {public: true},
	"GET /openapi.yaml":   {public: true},
	"GET /docs":           {public: true},
	"GET /docs/style.css": {public: true},
	"GET /problems/:code": {public: true},
	"GET /metrics":        {roles: operator},

	"POST /v1/clients":                                      {roles: facts, appends: true},
	"POST /v1/clients/:clientId/holders":                    {roles: facts, appends: true},
	"POST /v1/clients/:clientId/holders/removal":            {roles: facts, appends: true},
	"POST /v1/clients/:clientId/carrying-entity":            {roles: facts, appends: true},
	"POST /v1/users":                                        {roles: facts, appends: true},
	"GET /v1/users/:userId":                                 {roles: viewers},
	"POST /v1/users/:userId/residence":                      {roles: facts, appends: true},
	"POST /v1/users/:userId/account-access":                 {roles: facts, appends: true},
	"POST /v1/users/:userId/account-access/revocation":      {roles: facts, appends: true},
	"POST /v1/users/:userId/closure":                        {roles: operator, appends: true},
	"POST /v1/users/:userId/identity-verifications":         {roles: operator, appends: true},
	"POST /v1/users/:userId/unlock":                         {roles: operator, appends: true},
	"POST /v1/users/:userId/opt-out-requests":               {roles: frontend, appends: true},
	"POST /v1/users/:userId/opt-ins":                        {roles: frontend, appends: true},
	"POST /v1/users/:userId/phones":                         {roles: frontend, appends: true},
	"POST /v1/phones/:phoneId/verifications":                {roles: frontend, appends: true},
	"POST /v1/phones/:phoneId/replacement":                  {roles: frontend, appends: true},
	"POST /v1/phones/:phoneId/removal":                      {roles: frontend, appends: true},
	"POST /v1/installations":                                {roles: app, appends: true},
	"POST /v1/installations/:installationId/pin":            {roles: device, appends: true},
	"POST /v1/installations/:installationId/push-token":     {roles: device, appends: true},
	"GET /v1/installations/:installationId/challenges":      {roles: device},
	"POST /v1/users/:userId/enrollments":                    {roles: frontend, appends: true},
	"POST /v1/enrollments/:enrollmentId/activation":         {roles: app, appends: true},
	"POST /v1/enrollments/:enrollmentId/resend":             {roles: app, appends: true},
	"POST /v1/enrollments/:enrollmentId/complete":           {roles: app, appends: true},
	"POST /v1/enrollments/:enrollmentId/cancel":             {roles: app, appends: true},
	"GET /v1/users/:userId/authenticators":                  {roles: viewers},
	"POST /v1/users/:userId/seamless":                       {roles: app, appends: true},
	"POST /v1/authentications":                              {roles: frontend, appends: true},
	"POST /v1/authentications/:authenticationId/challenges": {roles: frontend, appends: true},
	"GET /v1/challenges/:challengeId":                       {roles: frontend},
	"POST /v1/challenges/:challengeId/responses":            {roles: frontend, appends: true},
	"POST /v1/challenges/:challengeId/fallback":             {roles: frontend, appends: true},
	"POST /v1/challenges/:challengeId/resend":               {roles: frontend, appends: true},
	"POST /v1/challenges/:challengeId/cancel":               {roles: frontend, appends: true},
	"POST /v1/gateways/generic/receipts":                    {roles: gateway, appends: true, signedKey: true},

	"POST /v1/phones/:phoneId/verifications/:verificationId/checks":           {roles: frontend, appends: true},
	"POST /v1/phones/:phoneId/verifications/:verificationId/resend":           {roles: frontend, appends: true},
	"POST /v1/installations/:installationId/challenges/:challengeId/opened":   {roles: device, appends: true},
	"POST /v1/installations/:installationId/challenges/:challengeId/decision": {roles: device, appends: true},

	"POST /v1/clients/:clientId/holders/residence":      {roles: facts, appends: true},
	"POST /v1/clients/:clientId/domicile":               {roles: facts, appends: true},
	"POST /v1/challenges/:challengeId/voice-calls":      {roles: frontend, appends: true},
	"POST /v1/users/:userId/migrations":                 {roles: app, appends: true},
	"POST /v1/migrations/:migrationId/proof":            {roles: app, appends: true},
	"POST /v1/migrations/:migrationId/resend":           {roles: app, appends: true},
	"POST /v1/migrations/:migrationId/complete":         {roles: app, appends: true},
	"POST /v1/migrations/:migrationId/cancel":           {roles: app, appends: true},
	"POST /v1/users/:userId/recoveries":                 {roles: app, appends: true},
	"POST /v1/recoveries/:recoveryId/proof":             {roles: app, appends: true},
	"POST /v1/recoveries/:recoveryId/resend":            {roles: app, appends: true},
	"POST /v1/recoveries/:recoveryId/complete":          {roles: app, appends: true},
	"POST /v1/recoveries/:recoveryId/cancel":            {roles: app, appends: true},
	"POST /v1/users/:userId/unifications":               {roles: app, appends: true},
	"POST /v1/unifications/:unificationId/defer":        {roles: app, appends: true},
	"POST /v1/unifications/:unificationId/complete":     {roles: app, appends: true},
	"POST /v1/installations/:installationId/pin-block":  {roles: device, appends: true},
	"GET /v1/installations/:installationId/credentials": {roles: device},

	"POST /v1/installations/:installationId/users/:userId/removal":              {roles: app, appends: true},
	"POST /v1/installations/:installationId/credentials/:deliveryId/collection": {roles: device, appends: true},

	"POST /v1/authenticators/:authenticatorId/loss":         {roles: facts, appends: true},
	"POST /v1/authenticators/:authenticatorId/suspension":   {roles: guards, appends: true},
	"POST /v1/authenticators/:authenticatorId/reactivation": {roles: facts, appends: true},
	"POST /v1/authenticators/:authenticatorId/revocation":   {roles: facts, appends: true},
	"POST /v1/authenticators/:authenticatorId/pin-change":   {roles: frontend, appends: true},
	"POST /v1/users/:userId/device-requests":                {roles: frontend, appends: true},
	"POST /v1/devices/imports":                              {roles: operator, appends: true},
	"POST /v1/devices/:deviceId/shipment":                   {roles: operator, appends: true},
	"POST /v1/devices/:deviceId/return":                     {roles: operator, appends: true},
	"POST /v1/devices/:deviceId/deposits":                   {roles: operator, appends: true},
	"POST /v1/devices/:deviceId/fees":                       {roles: operator, appends: true},
	"POST /v1/users/:userId/device-sharings":                {roles: frontend, appends: true},
	"POST /v1/device-sharings/:sharingId/decision":          {roles: lawyers, appends: true},
	"POST /v1/users/:userId/code-cards":                     {roles: frontend, appends: true},
	"POST /v1/code-cards/:authenticatorId/activation":       {roles: frontend, appends: true},
	"POST /v1/users/:userId/temporary-passcodes":            {roles: operator, appends: true},
	"POST /v1/users/:userId/credential-deliveries":          {roles: operator, appends: true},

	"POST /v1/policy/rules":                    {roles: lawyers, appends: true},
	"POST /v1/policy/rules/:ruleId/amendments": {roles: lawyers, appends: true},
	"POST /v1/policy/rules/:ruleId/withdrawal": {roles: lawyers, appends: true},
	"POST /v1/policy/parameters/:name":         {roles: lawyers, appends: true},
	"GET /v1/policy/rules":                     {roles: readers},
	"GET /v1/policy/parameters":                {roles: readers},
	"GET /v1/policy/impact":                    {roles: readers},
	"GET /v1/users/:userId/decision":           {roles: readers},

	"GET /v1/installations/:installationId": {roles: watchers},
	"GET /v1/devices/:deviceId":             {roles: watchers},
	"GET /v1/locks":                         {roles: watchers},
	"GET /v1/processes":                     {roles: watchers},
	"GET /v1/voice-calls":                   {roles: watchers},
	"GET /v1/transactions":                  {roles: watchers},

	"GET /v1/events":                          {roles: readers},
	"GET /v1/events/:eventId":                 {roles: readers},
	"GET /v1/events/:eventId/raw":             {roles: readers},
	"GET /v1/events/:eventId/proof":           {roles: watchers},
	"GET /v1/log/checkpoint":                  {roles: watchers},
	"GET /v1/log/checkpoints":                 {roles: watchers},
	"GET /v1/log/consistency":                 {roles: watchers},
	"GET /v1/log/keys":                        {roles: watchers},
	"GET " + routeTile:                        {roles: watchers},
	"GET /v1/timelines/:kind/:id":             {roles: readers},
	"GET /v1/users/:userId/state":             {roles: readers},
	"GET /v1/opt-outs":                        {roles: readers},
	"GET /v1/messages":                        {roles: readers},
	"GET /v1/keys":                            {roles: keepers},
	"POST /v1/keys/rotations":                 {roles: operator, appends: true},
	"GET /v1/meta/event-types":                {roles: access.Roles()},
	"GET /v1/meta/reason-codes":               {roles: access.Roles()},
	"POST /v1/exports":                        {roles: exporters, appends: true},
	"POST /v1/users/:userId/erasure-requests": {roles: forgetters, appends: true},
	"POST /v1/users/:userId/legal-holds":      {roles: lawyers, appends: true},
	"POST /v1/users/:userId/legal-holds/:holdId/release-requests": {roles: lawyers, appends: true},
	"POST /v1/users/:userId/legal-holds/:holdId/release":          {roles: lawyers, appends: true},
	"GET /v1/erasures":                     {roles: watchers},
	"GET /v1/legal-holds":                  {roles: watchers},
	"POST /v1/events/:eventId/reveal":      {roles: revealers, appends: true},
	"POST /v1/events/:eventId/annotations": {roles: revealers, appends: true},

	"GET /dev/inbox":  {roles: demo, demo: true},
	"GET /dev/clock":  {roles: demo, demo: true},
	"POST /dev/clock": {roles: facts, demo: true},
}

// consolePath is where another handler with its own sessions takes over; the
// API's keys mean nothing there.
const consolePath = "/console"

func underConsole(path string) bool {
	return path == consolePath || strings.HasPrefix(path, consolePath+"/")
}

func (r rule) admits(role access.Role) bool { return slices.Contains(r.roles, role) }
