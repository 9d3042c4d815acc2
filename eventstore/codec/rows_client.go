package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// Samples speak of one user, c9hpkgj4d5r7s2u0vm1n3b6e8k, so that they read as a
// story; sealed values stand for ciphertext.
const (
	sampleKey               = "c9hpkgj4d5r7s2u0vm1n3b6e8k"
	sampleUser              = "usr_" + sampleKey
	sampleClient            = "clt_0a4sk8g2m6qe1c5iu9o3v7bdfh"
	sampleInstallation      = "ins_7t1f5v9b3d0h4l8p2r6n0j4k8m"
	samplePhone             = "phn_" + sampleKey + "_1"
	sampleVerification      = "vrf_" + sampleKey + "_2"
	sampleSMS               = "sms_" + sampleKey + "_3"
	sampleEnrollment        = "enr_" + sampleKey + "_4"
	sampleIBKey             = "aut_" + sampleKey + "_6"
	sampleTxn               = "txn_" + sampleKey + "_7"
	sampleChallenge         = "chl_" + sampleKey + "_8"
	samplePush              = "psh_" + sampleKey + "_9"
	sampleOptOut            = "opt_" + sampleKey + "_10"
	sampleOther             = "aut_" + sampleKey + "_20"
	sampleCall              = "cal_" + sampleKey + "_21"
	sampleMigration         = "mig_" + sampleKey + "_22"
	sampleRecovery          = "rec_" + sampleKey + "_23"
	sampleUnification       = "uni_" + sampleKey + "_24"
	sampleRequest           = "req_" + sampleKey + "_25"
	sampleSharing           = "shr_" + sampleKey + "_26"
	sampleDelivery          = "dlv_" + sampleKey + "_27"
	sampleDevice            = "dev_3d0h4l8p2r6n0j4k8m7t1f5v9b"
	sampleOtherInstallation = "ins_5v9b3d0h4l8p2r6n0j4k8m7t1f"
	sampleSealed            = "k1.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"
	sampleKid               = "c2024-03-01-1f0c9a7e"
)

// sampleAt is a moment of the samples' day, with microseconds that end in a
// digit other than zero.
func sampleAt(minute int) time.Time {
	return time.Date(2024, time.March, 1, 9, minute, 30, 123456000, time.UTC)
}

// clientRows are the facts about clients (rule book 6.1).
func clientRows() []row {
	return []row{
		event("ClientRegistered", 1, domain.ClientRegistered{
			ClientID: sampleClient, Kind: domain.Organisation, CarryingEntity: "IB-IE", CarryingCC: "IE", Domicile: "DE",
		}),
		event("CarryingEntityAssigned", 1, domain.CarryingEntityAssigned{
			CarryingEntity: "IB-HK", CarryingCC: "HK", EffectiveOn: "2024-03-01",
		}),
		event("HolderAdded", 1, domain.HolderAdded{PersonRef: "holder-2", Residence: "CH", EffectiveOn: "2024-03-01"}),
		event("HolderRemoved", 1, domain.HolderRemoved{PersonRef: "holder-2", EffectiveOn: "2024-04-01"}),
	}
}
