package pskc

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const (
	suitePlain = "OCRA-1:HOTP-SHA256-8:C-QN06"
	suitePIN   = "OCRA-1:HOTP-SHA256-8:C-QN06-PSHA1"
)

func aesKey(n int) []byte { return []byte("0123456789abcdefghijklmnopqrstuv")[:n] }

func tokens(n int) []Token {
	out := make([]Token, n)
	for i := range out {
		out[i] = Token{
			Manufacturer: "Müller & Söhne <AG>", Serial: fmt.Sprintf("SN-%05d", i), Model: "dsc_plus", Suite: suitePIN, Counter: uint64(i),
			Seed: Secret(fmt.Sprintf("seed-%05d-of-thirty-two-bytes--", i)),
		}
	}
	return out
}

func written(t *testing.T, transport []byte, list []Token) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, transport, list); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, size := range []int{16, 24, 32} {
		for _, n := range []int{1, 3, 200} {
			want := tokens(n)
			want[0].Model, want[0].Suite, want[0].Counter, want[0].Seed = "", suitePlain, maxCounter, Secret(strings.Repeat("s", minSeed))
			got, err := Read(strings.NewReader(written(t, aesKey(size), want)), aesKey(size))
			if err != nil {
				t.Fatalf("AES-%d, %d tokens: %v", 8*size, n, err)
			}
			if !cmp.Equal(got, want) || string(got[n-1].Seed) != string(want[n-1].Seed) {
				t.Errorf("AES-%d: %d of %d tokens came back, or others", 8*size, len(got), n)
			}
		}
	}
}

func TestWrittenFilesHoldNoSeedAndDiffer(t *testing.T) {
	t.Parallel()
	list := tokens(2)
	one, two := written(t, aesKey(16), list), written(t, aesKey(16), list)
	if one == two {
		t.Error("two files of the same tokens are equal: a vector or key was used twice")
	}
	for _, seed := range list {
		for _, text := range []string{string(seed.Seed), base64.StdEncoding.EncodeToString(seed.Seed), hex.EncodeToString(seed.Seed)} {
			if strings.Contains(one, text) {
				t.Error("a seed stands in the file")
			}
		}
	}
}

// The values of RFC 6030 §6.1, figure 6: transport key, encrypted MAC key,
// encrypted secret and its MAC.
func TestRFC6030Figure6(t *testing.T) {
	t.Parallel()
	const (
		transport = "12345678901234567890123456789012"
		macKey    = "ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX"
		value     = "AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv"
		valueMAC  = "Su+NvtQfmvfJzF6bmQiJqoLRExc="
	)
	k, err := ParseKey(transport)
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(text string) encryptedValue {
		var e encryptedValue
		e.Method = append(e.Method, struct {
			Algorithm string `xml:"Algorithm,attr"`
		}{aes128CBC})
		e.Data = append(e.Data, struct {
			Value []string `xml:"http://www.w3.org/2001/04/xmlenc# CipherValue"`
		}{[]string{text}})
		return e
	}
	c := container{key: k, named: true}
	if err := c.macMethod(macMethod{Algorithm: hmacSHA1, MACKey: []encryptedValue{sealed(macKey)}}); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(c.macKey), "1122334455667788990011223344556677889900"; got != want {
		t.Errorf("MAC key %s, want %s", got, want)
	}
	got, err := c.seed(secret{Encrypted: []encryptedValue{sealed(value)}, MAC: []string{valueMAC}})
	if err != nil || string(got) != "12345678901234567890" {
		t.Errorf("secret of %d bytes, %v; want that of RFC 4226", len(got), err)
	}
}

// card is a file with one token as a manufacturer might write it, with line
// breaks, and with SHA-1.
func card(t *testing.T) string {
	t.Helper()
	text := written(t, aesKey(16), tokens(1))
	text = strings.Replace(text, "<KeyPackage>", "<!-- a batch -->\n<KeyPackage>\n ", 1)
	text = strings.Replace(text, "<SerialNo>SN-00000<", "<SerialNo>\n  SN-00000\n <", 1)
	return strings.Replace(text, "<Data>", "<Issuer>Bank</Issuer><Data>", 1)
}

func decoder(text string) *xml.Decoder { return xml.NewDecoder(strings.NewReader(text)) }

func replaced(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

// between replaces what stands between two marks.
func between(from, to, new string) func(string) string {
	return func(s string) string {
		head, rest, _ := strings.Cut(s, from)
		_, tail, _ := strings.Cut(rest, to)
		return head + from + new + to + tail
	}
}

// flip changes a character in the middle of what stands behind the n-th mark.
func flip(mark string, n, offset int) func(string) string {
	return func(s string) string {
		parts := strings.Split(s, mark)
		b := []byte(parts[n])
		if b[offset] == 'A' {
			b[offset] = 'B'
		} else {
			b[offset] = 'A'
		}
		parts[n] = string(b)
		return strings.Join(parts, mark)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	good := card(t)
	if _, err := Read(strings.NewReader(good), aesKey(16)); err != nil {
		t.Fatal(err)
	}
	_, onePackage, _ := strings.Cut(good, "<KeyPackage>")
	onePackage = "<KeyPackage>" + strings.TrimSuffix(onePackage, "</KeyContainer>\n")
	for name, tc := range map[string]struct {
		change func(string) string
		want   error
	}{
		"nothing":                     {func(string) string { return "" }, ErrMalformed},
		"no XML":                      {func(string) string { return "serial;seed\n1;00112233" }, ErrMalformed},
		"another root":                {func(s string) string { return strings.ReplaceAll(s, "KeyContainer", "KeyBox") }, ErrMalformed},
		"another name space":          {replaced(nsPSKC, "urn:example"), ErrMalformed},
		"another version":             {replaced(`Version="1.0" xmlns`, `Version="2.0" xmlns`), ErrMalformed},
		"no version":                  {replaced(`Version="1.0" xmlns`, `xmlns`), ErrMalformed},
		"a document type":             {replaced("<KeyContainer", `<!DOCTYPE a [<!ENTITY b "c">]><KeyContainer`), ErrMalformed},
		"a document type inside":      {replaced("<KeyPackage>", "<!DOCTYPE a><KeyPackage>"), ErrMalformed},
		"an entity":                   {replaced("<Issuer>Bank", "<Issuer>&bank;"), ErrMalformed},
		"another encoding":            {replaced("UTF-8", "UTF-16"), ErrMalformed},
		"cut off":                     {func(s string) string { return s[:len(s)-20] }, ErrMalformed},
		"two containers":              {func(s string) string { return s + s[strings.Index(s, "<KeyContainer"):] }, ErrMalformed},
		"text behind":                 {func(s string) string { return s + "x" }, ErrMalformed},
		"an element not closed":       {replaced("</Issuer>", "</Issuers>"), ErrMalformed},
		"no keys":                     {replaced(onePackage, ""), ErrEmpty},
		"no key name":                 {between("<EncryptionKey>", "</EncryptionKey>", ""), ErrProtection},
		"no encryption key":           {between("\n<EncryptionKey>", "</EncryptionKey>", ""), ErrProtection},
		"a certificate":               {replaced("<EncryptionKey>", "<EncryptionKey><ds:X509Data/>"), ErrProtection},
		"two encryption keys":         {replaced("<MACMethod", "<EncryptionKey><ds:KeyName>b</ds:KeyName></EncryptionKey><MACMethod"), ErrProtection},
		"a plain seed":                {between("<Secret>", "</Secret>", "<PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>"), ErrNotSealed},
		"a plain seed beside":         {replaced("<Secret>", "<Secret><PlainValue>MTIzNDU2</PlainValue>"), ErrNotSealed},
		"no seed":                     {between("<Secret>", "</Secret>", ""), ErrNotSealed},
		"no secret":                   {between("<Data>", "<Counter>", ""), ErrMalformed},
		"no MAC":                      {between("</EncryptedValue>", "</Secret>", ""), ErrMACMissing},
		"two MACs":                    {replaced("<ValueMAC>", "<ValueMAC>AAAA</ValueMAC><ValueMAC>"), ErrMACMissing},
		"no MAC method":               {between("</EncryptionKey>\n", "\n<!--", ""), ErrMACMissing},
		"no MAC key":                  {between("hmac-sha256\">", "</MACMethod>", ""), ErrMACMissing},
		"two MAC methods":             {func(s string) string { return twice(s, "<MACMethod", "</MACMethod>") }, ErrMalformed},
		"another MAC":                 {replaced("hmac-sha256", "hmac-md5"), ErrMACMethod},
		"the other MAC":               {replaced(hmacSHA256, hmacSHA1), ErrNotGenuine},
		"MAC key by another cipher":   {replaced("aes128-cbc", "tripledes-cbc"), ErrCipher},
		"seed by another cipher":      {replaced(`<EncryptedValue><xenc:EncryptionMethod Algorithm="http`, `<EncryptedValue><xenc:EncryptionMethod Algorithm="urn`), ErrCipher},
		"a cipher with a longer key":  {replaced("aes128-cbc", "aes256-cbc"), ErrKeyLength},
		"MAC key changed":             {flip("<xenc:CipherValue>", 1, 30), ErrNotGenuine},
		"vector of the MAC key":       {flip("<xenc:CipherValue>", 1, 2), ErrNotGenuine},
		"MAC key cut":                 {between("<xenc:CipherValue>", "</xenc:CipherValue>", "AAAA"), ErrNotGenuine},
		"seed changed":                {flip("<xenc:CipherValue>", 2, 30), ErrNotGenuine},
		"vector of the seed":          {flip("<xenc:CipherValue>", 2, 2), ErrNotGenuine},
		"MAC changed":                 {flip("<ValueMAC>", 1, 5), ErrNotGenuine},
		"MAC cut":                     {between("<ValueMAC>", "</ValueMAC>", "AAAA"), ErrNotGenuine},
		"MAC that is no base64":       {between("<ValueMAC>", "</ValueMAC>", "?"), ErrNotGenuine},
		"seed that is no base64":      {flipTo("<xenc:CipherValue>", 2, '?'), ErrMalformed},
		"two seeds":                   {func(s string) string { return twice(s, "<Secret>", "</Secret>") }, ErrMalformed},
		"two cipher values":           {func(s string) string { return twice(s, "<xenc:CipherValue>", "</xenc:CipherValue>") }, ErrMalformed},
		"two keys in a package":       {func(s string) string { return twice(s, "<Key Id", "</Key>") }, ErrMalformed},
		"another algorithm":           {replaced("pskc:ocra-1", "pskc:hotp"), ErrAlgorithm},
		"no algorithm":                {replaced(algorithmOCRA, ""), ErrAlgorithm},
		"a policy":                    {replaced("<Data>", "<Policy><KeyUsage>OTP</KeyUsage></Policy><Data>"), ErrUsagePolicy},
		"no suite":                    {between("<AlgorithmParameters>", "</AlgorithmParameters>", ""), ErrSuite},
		"a suite that is none":        {between("<Suite>", "</Suite>", "OCRA-2"), ErrSuite},
		"a suite without counter":     {between("<Suite>", "</Suite>", "OCRA-1:HOTP-SHA256-8:QN06"), ErrSuite},
		"a suite with a clock":        {between("<Suite>", "</Suite>", "OCRA-1:HOTP-SHA256-8:C-QN06-T1M"), ErrSuite},
		"a suite with a session":      {between("<Suite>", "</Suite>", "OCRA-1:HOTP-SHA256-8:C-QN06-S064"), ErrSuite},
		"a suite of six digits":       {between("<Suite>", "</Suite>", "OCRA-1:HOTP-SHA256-6:C-QN06"), ErrSuite},
		"a suite with other question": {between("<Suite>", "</Suite>", "OCRA-1:HOTP-SHA256-8:C-QN08"), ErrSuite},
		"a suite with letters":        {between("<Suite>", "</Suite>", "OCRA-1:HOTP-SHA256-8:C-QA06"), ErrSuite},
		"no counter":                  {between("</Secret>", "</Data>", ""), ErrCounter},
		"a negative counter":          {between("<PlainValue>", "</PlainValue>", "-1"), ErrCounter},
		"a counter too large":         {between("<PlainValue>", "</PlainValue>", "9223372036854775808"), ErrCounter},
		"two counters":                {replaced("<Counter>", "<Counter><PlainValue>1</PlainValue>"), ErrCounter},
		"no device":                   {between("<KeyPackage>", "<Key ", ""), ErrText},
		"no manufacturer":             {between("<DeviceInfo>", "<SerialNo>", ""), ErrText},
		"an empty serial":             {between("<SerialNo>", "</SerialNo>", " "), ErrText},
		"two serials":                 {replaced("<SerialNo>", "<SerialNo>A</SerialNo><SerialNo>"), ErrText},
		"two models":                  {replaced("<Model>", "<Model>A</Model><Model>"), ErrText},
		"a serial with a line feed":   {between("<SerialNo>", "</SerialNo>", "A\nB"), ErrText},
		"a serial too long":           {between("<SerialNo>", "</SerialNo>", strings.Repeat("9", 101)), ErrText},
		"a serial twice":              {func(s string) string { return twice(s, "<KeyPackage>", "</KeyPackage>") }, ErrDuplicate},
		"larger than 4 MiB":           {func(s string) string { return s + strings.Repeat(" ", MaxSize) }, ErrTooLarge},
	} {
		bad := tc.change(good)
		if bad == good {
			t.Errorf("%s: nothing was changed", name)
		}
		got, err := Read(strings.NewReader(bad), aesKey(16))
		if !errors.Is(err, tc.want) || got != nil {
			t.Errorf("%s: %d tokens and %v, want %v", name, len(got), err, tc.want)
		}
		quoted(t, name, err)
	}
}

// quoted fails when an error repeats something of the file.
func quoted(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, text := range []string{"SN-", "Müller", "Bank", "bank", "00112233", "KeyBox", "MTIz", "Issuers"} {
		if strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
	}
}

func twice(s, from, to string) string {
	start := strings.Index(s, from)
	end := start + strings.Index(s[start:], to) + len(to)
	return s[:end] + s[start:end] + s[end:]
}

func flipTo(mark string, n int, c byte) func(string) string {
	return func(s string) string {
		parts := strings.Split(s, mark)
		parts[n] = string(c) + parts[n][1:]
		return strings.Join(parts, mark)
	}
}

func TestAnotherTransportKey(t *testing.T) {
	t.Parallel()
	text := card(t)
	for range 300 { // one wrong key in 256 passes the padding of the MAC key
		other := []byte(fmt.Sprintf("%016d", len(text)))
		text += " "
		if got, err := Read(strings.NewReader(text), other); !errors.Is(err, ErrNotGenuine) || got != nil {
			t.Fatalf("another key: %d tokens, %v", len(got), err)
		}
	}
	for _, n := range []int{0, 15, 17, 33} {
		if _, err := Read(strings.NewReader(text), make([]byte, n)); !errors.Is(err, ErrKeyFormat) {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
		if err := Write(io.Discard, make([]byte, n), tokens(1)); !errors.Is(err, ErrKeyFormat) {
			t.Errorf("writing with a key of %d bytes: %v", n, err)
		}
	}
	if _, err := Read(strings.NewReader(text), aesKey(32)); !errors.Is(err, ErrKeyLength) {
		t.Errorf("a longer key: %v", err)
	}
}

// One bad package spoils the file: no token of the others is returned.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	text := written(t, aesKey(16), tokens(5))
	bad := flip("<ValueMAC>", 5, 3)(text)
	got, err := Read(strings.NewReader(bad), aesKey(16))
	if got != nil || !errors.Is(err, ErrNotGenuine) || !strings.HasPrefix(err.Error(), "key package 5: ") {
		t.Errorf("%d tokens, %v", len(got), err)
	}
}

func TestTooManyPackages(t *testing.T) {
	t.Parallel()
	// Short packages, of which more than 10,000 fit into the size; the last one
	// is not even looked at.
	head, rest, _ := strings.Cut(written(t, aesKey(16), tokens(1)), "<KeyPackage>")
	_ = rest
	c := container{key: aesKey(16), tokens: make([]Token, MaxTokens)}
	d := decoder(head + "<KeyPackage/></KeyContainer>")
	if err := c.read(d); !errors.Is(err, ErrTooMany) {
		t.Errorf("package 10,001: %v", err)
	}
	if err := Write(io.Discard, aesKey(16), make([]Token, MaxTokens+1)); !errors.Is(err, ErrTooMany) {
		t.Errorf("writing 10,001: %v", err)
	}
	long := tokens(9_000)
	for i := range long {
		long[i].Manufacturer, long[i].Seed = strings.Repeat("&", maxText), Secret(strings.Repeat("s", maxSeed))
	}
	if err := Write(io.Discard, aesKey(16), long); !errors.Is(err, ErrTooLarge) {
		t.Errorf("writing more than 4 MiB: %v", err)
	}
}

func TestWriteRefusesWhatReadWould(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Token)
		want   error
	}{
		"short seed":      {func(k *Token) { k.Seed = k.Seed[:15] }, ErrSeed},
		"long seed":       {func(k *Token) { k.Seed = make(Secret, 65) }, ErrSeed},
		"suite":           {func(k *Token) { k.Suite = "OCRA-1:HOTP-SHA1-6:QN08" }, ErrSuite},
		"counter":         {func(k *Token) { k.Counter = maxCounter + 1 }, ErrCounter},
		"serial":          {func(k *Token) { k.Serial = "" }, ErrText},
		"space at an end": {func(k *Token) { k.Manufacturer += " " }, ErrText},
		"no UTF-8":        {func(k *Token) { k.Model = "\xff" }, ErrText},
		"twice":           {func(k *Token) { k.Serial = "SN-00000" }, ErrDuplicate},
	} {
		list := tokens(2)
		tc.change(&list[1])
		var b bytes.Buffer
		if err := Write(&b, aesKey(16), list); !errors.Is(err, tc.want) || b.Len() != 0 {
			t.Errorf("%s: %v and %d bytes", name, err, b.Len())
		}
	}
	if err := Write(io.Discard, aesKey(16), nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("no tokens: %v", err)
	}
	broken := errors.New("the disk is full")
	if err := Write(failing{broken}, aesKey(16), tokens(1)); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
	if _, err := Read(iotest.ErrReader(broken), aesKey(16)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// A short seed whose MAC is right is refused, and not padded or taken.
func TestShortSeedInAGenuineFile(t *testing.T) {
	t.Parallel()
	c := container{named: true, key: aesKey(16), macKey: aesKey(32)}
	var err error
	if c.hash, err = hashFor(hmacSHA256); err != nil {
		t.Fatal(err)
	}
	block, err := cipherFor(aes128CBC, aesKey(16))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]error{0: ErrSeed, 15: ErrSeed, 16: nil, 64: nil, 65: ErrSeed} {
		value := encrypt(block, make([]byte, n))
		text := written(t, aesKey(16), tokens(1))
		text = replacedValue(text, value, mac(c.hash, c.macKey, value))
		one := container{named: true, key: aesKey(16), macKey: c.macKey, hash: c.hash, seen: map[[2]string]bool{}}
		head, rest, _ := strings.Cut(text, "<EncryptionKey>")
		_, rest, _ = strings.Cut(rest, "</MACMethod>")
		if err := one.read(decoder(head + rest)); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("a seed of %d bytes: %v", n, err)
		}
	}
}

func replacedValue(text string, value, sum []byte) string {
	head, rest, _ := strings.Cut(text, "<Secret>")
	_, rest, _ = strings.Cut(rest, "</Secret>")
	f := file{algorithm: aes128CBC}
	return head + "<Secret><EncryptedValue>" + f.encrypted(value) + "</EncryptedValue><ValueMAC>" +
		base64.StdEncoding.EncodeToString(sum) + "</ValueMAC></Secret>" + rest
}

func TestOldMACAndShortAlgorithmName(t *testing.T) {
	t.Parallel()
	macKey := aesKey(20)
	block, err := cipherFor(aes128CBC, aesKey(16))
	if err != nil {
		t.Fatal(err)
	}
	sha1, err := hashFor(hmacSHA1)
	if err != nil {
		t.Fatal(err)
	}
	f := file{algorithm: aes128CBC}
	value := encrypt(block, []byte("12345678901234567890"))
	text := replacedValue(written(t, aesKey(16), tokens(1)), value, mac(sha1, macKey, value))
	text = between("<MACKey>", "</MACKey>", f.encrypted(encrypt(block, macKey)))(text)
	text = replaced(hmacSHA256, hmacSHA1)(replaced(algorithmOCRA, "ocra")(text))
	got, err := Read(strings.NewReader(text), aesKey(16))
	if err != nil || len(got) != 1 || string(got[0].Seed) != "12345678901234567890" {
		t.Errorf("%d tokens, %v", len(got), err)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for _, n := range []int{16, 24, 32} {
		if k, err := ParseKey(" " + hex.EncodeToString(aesKey(n)) + "\n"); err != nil || !bytes.Equal(k, aesKey(n)) {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
	}
	for _, bad := range []string{"", "0011", strings.Repeat("0", 31), strings.Repeat("g", 32), strings.Repeat("0", 40)} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKeyFormat) || bad != "" && strings.Contains(err.Error(), bad) && len(bad) > 4 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSeedsDoNotPrint(t *testing.T) {
	t.Parallel()
	const seed = "ABCDEFGHIJKLMNOPQR"
	token := Token{Serial: "1", Seed: Secret(seed)}
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%o", "%b"} {
		texts = append(texts, fmt.Sprintf(verb, token.Seed), fmt.Sprintf(verb, token), fmt.Sprintf(verb, []Token{token}))
	}
	asJSON, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	asKey, err := token.Seed.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "seed", token.Seed)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "seed", token.Seed, "token", token)
	texts = append(texts, string(asJSON), string(asKey), log.String(), token.Seed.String(), token.Seed.GoString())
	for _, text := range texts {
		if !strings.Contains(text, "[redacted]") {
			t.Errorf("%s is not redacted", text)
		}
		for _, leak := range []string{seed, "65 66", "6566", "41424344", "0x41", "QUJD", "101 102", "U+0041"} {
			if strings.Contains(text, leak) {
				t.Errorf("%s leaks", text)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, aesKey(16), tokens(2)); err != nil {
		f.Fatal(err)
	}
	good := b.String()
	for _, s := range []string{good, "", "<KeyContainer", good[:len(good)/2], strings.ToUpper(good), replaced("<Data>", "<Data><Data>")(good)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Read(bytes.NewReader(text), aesKey(16))
		if (err == nil) == (len(got) == 0) {
			t.Fatalf("%d tokens and %v", len(got), err)
		}
		if err == nil { // what was read can be written and read again
			again, err := Read(strings.NewReader(written(t, aesKey(16), got)), aesKey(16))
			if err != nil || !cmp.Equal(again, got) {
				t.Fatalf("again: %v", err)
			}
		}
	})
}
