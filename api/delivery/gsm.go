package delivery

import "strings"

// The default alphabet of 3GPP TS 23.038 §6.2.1 and its extension table; a
// character of the extension takes two places.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€"
)

// segments counts the parts a text message is sent in, and whether all of it
// is in the GSM alphabet. One part holds 160 places of that alphabet or 70
// UTF-16 units of any other; parts of a longer message hold 153 or 67, because
// each begins with a header.
func segments(text string) (n int, gsm bool) {
	places, units := 0, 0
	gsm = true
	for _, r := range text {
		units++
		if r > 0xffff {
			units++
		}
		switch {
		case strings.ContainsRune(gsmBasic, r):
			places++
		case strings.ContainsRune(gsmExtension, r):
			places += 2
		default:
			gsm = false
		}
	}
	if gsm {
		return parts(places, 160, 153), true
	}
	return parts(units, 70, 67), false
}

func parts(size, alone, each int) int {
	if size <= alone {
		return 1
	}
	return (size + each - 1) / each
}
