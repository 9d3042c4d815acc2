#!/usr/bin/env python3
"""Checks an evidence bundle of an authledger (authledger/evidence@1, docs/evidence.md). Python 3.8 or newer, nothing else; no network.
Exit code 0: everything holds; 10: something does not, named on standard output. KEYS.json: the log's public keys, got on another way."""
import argparse, base64, datetime, hashlib, json, re, struct, sys, zipfile

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # Ed25519, RFC 8032 section 5.1
D, I = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)
NAMES = re.compile(r"(README\.txt|manifest\.(json|note)|events\.(jsonl|csv)|range\.(jsonl|proof)|checkpoint\.txt|keys\.json|witness-policy\.txt|verify\.html"
                   r"|verify_bundle\.py|proofs/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tlog-proof|timestamps/[1-9][0-9]?\.tsr)")
COLUMNS = "sequence,recorded_at,stream,revision,type,schema,event_id,leaf,data,metadata".split(",")
failures, enc = [], lambda b: base64.b64encode(b).decode()
sha, node = lambda b: hashlib.sha256(b).digest(), lambda a, b: sha(b"\x01" + a + b)  # RFC 6962 section 2.1
cell = lambda c: '"' + ("'" if c[:1] in tuple("=+-@\t\r") else "") + c.replace('"', '""') + '"'

def dec(s):  # base64 in its one spelling
    if enc(base64.b64decode(s)) != s: raise ValueError("not base64 in its one spelling")
    return base64.b64decode(s)

def need(holds, mechanism, where, problem, r=None):
    name = "event @%s %s %s in %s: " % tuple(r.get(k, "") for k in ("sequence", "id", "type", "stream")) if r else ""
    if not holds: failures.append("%s: %s: %s%s" % (mechanism, where, name, problem))

def add(p, q):
    a, b, c, d = (p[1]-p[0])*(q[1]-q[0]), (p[1]+p[0])*(q[1]+q[0]), 2*p[3]*q[3]*D, 2*p[2]*q[2]
    return ((b-a)*(d-c) % P, (d+c)*(b+a) % P, (d-c)*(d+c) % P, (b-a)*(b+a) % P)

def mul(n, p):
    out = (0, 1, 1, 0)
    while n: out, p, n = (add(out, p) if n & 1 else out), add(p, p), n >> 1
    return out

def point(b):
    y, sign = int.from_bytes(b, "little") & (2**255 - 1), b[31] >> 7
    xx = (y*y - 1) * pow(D*y*y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    x = x if (x*x - xx) % P == 0 else x * I % P
    if y >= P or (x*x - xx) % P or (x == 0 and sign): raise ValueError("no point of the curve")
    x = x if x & 1 == sign else P - x
    return (x, y, 1, x*y % P)

def ed25519(public, sig, message):
    if len(public) != 32 or len(sig) != 64 or int.from_bytes(sig[32:], "little") >= L: return False
    h = int.from_bytes(hashlib.sha512(sig[:32] + public + message).digest(), "little") % L
    try: u, v = mul(int.from_bytes(sig[32:], "little"), point(b"\x58" + b"\x66" * 31)), add(point(sig[:32]), mul(h, point(public)))
    except ValueError: return False
    return (u[0]*v[2] - v[0]*u[2]) % P == 0 and (u[1]*v[2] - v[1]*u[2]) % P == 0

def signatures(note):  # of a C2SP signed note: its text, and (name, key hash and signature) of each line
    text, _, lines = note.partition("\n\n")
    parts = [line.split(" ") for line in lines.split("\n")]
    if parts.pop() != [""] or not all(len(p) == 3 and p[0] == "\u2014" for p in parts): raise ValueError("a signature line is damaged")
    return text + "\n", [(name, dec(sig)) for _, name, sig in parts]

def signed_by(note, name, public, dated=False):  # whether that key signed; for a dated line (cosignature/v1) the time it says, or None
    text, lines = signatures(note)
    for raw in [raw for n, raw in lines if n == name and raw[:4] == sha(name.encode() + b"\n" + (b"\x04" if dated else b"\x01") + public)[:4]]:
        if not dated: return ed25519(public, raw[4:], text.encode())
        at = int.from_bytes(raw[4:12], "big")
        return at if ed25519(public, raw[12:], b"cosignature/v1\ntime %d\n" % at + text.encode()) else None

def quorum(policy, note):  # C2SP tlog-policy
    ok = {"none": True}
    for word in (line.split() for line in policy.splitlines() if line.strip() and not line.startswith("#")):
        if word[0] == "witness":
            name, _, key = word[2].split("+", 2)
            ok[word[1]] = dec(key)[0] == 4 and signed_by(note, name, dec(key)[1:], True) is not None
        elif word[0] == "group": ok[word[1]] = sum(ok[n] for n in word[3:]) >= ({"any": 1, "all": len(word) - 3}.get(word[2]) or int(word[2]))
        elif word[0] == "quorum": return ok[word[1]]
    raise ValueError("the policy names no quorum")

def leaf_of(r, data_hash, metadata_hash):
    s, t, number = r["stream"].encode(), r["type"].encode(), bytes.fromhex(r["id"].replace("-", ""))
    return sha(b"\x00" + struct.pack(">I", len(s)) + s + struct.pack(">Q", r["revision"]) + number + struct.pack(">I", len(t)) + t
               + struct.pack(">Hq", r["schema"], r["recordedAtMicros"]) + data_hash + metadata_hash)

def climb(fn, size, h, path):  # from a leaf to the root, RFC 9162 section 2.1.3.2
    sn = size - 1
    for p in path:
        if sn == 0: return None
        h = node(p, h) if fn & 1 or fn == sn else node(h, p)
        while fn == sn and not fn & 1 and fn: fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    return h if sn == 0 else None

def parts(a, b):  # sizes of the perfect subtrees of leaves a to b, from the left
    while a < b:
        k = min(a & -a or 1 << 63, 1 << ((b - a).bit_length() - 1))
        yield k
        a += k

def root_of(start, leaves, size, outside):
    left, right, stack = list(parts(0, start)), list(parts(start + len(leaves), size)), []
    if len(outside) != len(left) + len(right): return None
    for k, h in list(zip(left, outside)) + [(1, h) for h in leaves] + list(zip(right, outside[len(left):])):
        while stack and stack[-1][0] == k: k, h = 2 * k, node(stack.pop()[1], h)
        stack.append((k, h))
    h = stack.pop()[1]
    while stack: h = node(stack.pop()[1], h)
    return h

def record(r, line, origin_of):  # one record of the window: its leaf, its metadata if it is in the extract, its row of the table
    head = {k: r[k] for k in ("sequence", "stream", "revision", "id", "type", "schema", "recordedAtMicros")}
    show = lambda rest: json.dumps({**head, **rest}, ensure_ascii=False, separators=(",", ":"))
    if "dataBase64" in r:
        data, meta = dec(r["dataBase64"]), dec(r["metadataBase64"])
        leaf, flat = leaf_of(r, sha(data), sha(meta)), [b.decode().replace("\n", " ").replace("\r", " ") for b in (data, meta)]
        when = (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=r["recordedAtMicros"])).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        want = show({"recordedAt": when, "leaf": leaf.hex(), "dataBase64": enc(data), "metadataBase64": enc(meta)})[:-1] + ',"data":%s,"metadata":%s}' % tuple(flat)
        row = [str(r["sequence"]), when, r["stream"], str(r["revision"]), r["type"], str(r["schema"]), r["id"], leaf.hex()] + flat
    else:
        leaf, meta, row = leaf_of(r, bytes.fromhex(r["dataHash"]), bytes.fromhex(r["metadataHash"])), None, None
        want = show({"dataHash": r["dataHash"], "metadataHash": r["metadataHash"], "leaf": leaf.hex()})
    need(leaf.hex() == r["leaf"], "leaf hash", origin_of, "its bytes hash to another leaf", r)
    need(want == line or leaf.hex() != r["leaf"], "format", origin_of, "the line shows something else than its bytes say", r)
    return leaf, meta, row

def verify(z, pinned, policy):
    names, text = z.namelist(), lambda name: z.read(name).decode()
    if len(set(names)) < len(names) or not all(map(NAMES.fullmatch, names)) or sum(i.file_size for i in z.infolist()) > 1 << 30:
        raise ValueError("unknown or repeated files, or more than 1 GiB: %s" % sorted(n for n in set(names) if not NAMES.fullmatch(n) or names.count(n) > 1)[:5])
    m, keys, note = json.loads(text("manifest.json")), json.loads(text("keys.json")), text("checkpoint.txt")
    need(json.dumps(m, indent=2, ensure_ascii=False) + "\n" == text("manifest.json") and m["bundle"] == "authledger/evidence@1", "format", "manifest.json", "another format or spelling")
    need([f["name"] for f in m["files"]] == sorted(set(names) - {"manifest.json", "manifest.note"}), "format", "manifest.json", "it lists other files than there are")
    for f in m["files"]: need(f["name"] in names and sha(z.read(f["name"])).hex() == f["sha256"], "file hash", f["name"], "it differs from the manifest")
    if pinned:
        pairs = zip(*([(e["epoch"], e["fromSize"], e["publicKey"]) for e in k["epochs"]] for k in (keys, pinned)))
        need(pinned["origin"] == keys["origin"] and all(a == b for a, b in pairs), "pinned keys", "keys.json", "it names other keys than the pinned ones")
    keys, (origin, size, root) = pinned or keys, signatures(note)[0].split("\n")[:-1]
    size, root, win, q, publics = int(size), dec(root), m["window"], m["query"], [(e["fromSize"], dec(e["publicKey"])) for e in keys["epochs"]]
    public, others, first = [k for start, k in publics if start <= size][-1], len([n for n, _ in signatures(note)[1] if n != origin]), win["fromPosition"]
    at = signed_by(note, origin, public, True)
    need(origin == keys["origin"] and signed_by(note, origin, public) and at is not None, "checkpoint signature", "checkpoint.txt", "the key in force did not sign it")
    need(m["checkpoint"] == {"origin": origin, "size": size, "root": enc(root), "cosignatures": others}, "manifest", "manifest.json", "it tells another checkpoint")
    need(1 <= first <= win["toPosition"] <= win["atPosition"] == size, "manifest", "manifest.json", "its window is not in the checkpoint")
    if "manifest.note" in names:
        made, want = text("manifest.note"), "authledger/evidence@1\n%s\n%d\n%s\n" % (origin, size, sha(z.read("manifest.json")).hex())
        need(signatures(made)[0] == want and any(signed_by(made, origin, k) for _, k in publics), "manifest", "manifest.note", "it is not the log's signature of this manifest")
    policy = policy or ("witness-policy.txt" in names and text("witness-policy.txt"))
    need(not policy or quorum(policy, note), "witness policy", "checkpoint.txt", "the cosignatures make no quorum")

    rows, last = {}, 0
    for line in text("events.jsonl").split("\n")[:-1]:
        r = json.loads(line)
        need(r["sequence"] > last, "order", "events.jsonl", "it is there twice, or not in the order of the log", r)
        rows[r["sequence"]], last = (r, line), max(last, r["sequence"])
    table, leaves, streams, latest, versions = [COLUMNS], [], {}, 0, set()
    for due, line in enumerate(text("range.jsonl").split("\n")[:-1], first):
        r, where = json.loads(line), "range.jsonl"
        need(r["sequence"] == due, "order", where, "@%d was expected" % due, r)
        inside = line == '{"sequence":%d}' % due
        if inside: where, (r, line) = "events.jsonl", rows.pop(due, (r, line))
        try: leaf, meta, row = record(r, line, where)
        except (KeyError, ValueError, TypeError, struct.error) as e:
            need(False, "order" if len(r) == 1 else "format", where, "the event is missing" if len(r) == 1 else "it cannot be read: %r" % e, r)
            leaves.append(bytes(32))
            continue
        if inside:
            table, proof, versions = table + [row], "proofs/%s.tlog-proof" % r["id"], versions | {json.loads(meta).get("policy_version", 0)}
            head, _, rest = (text(proof) if proof in names else "\n\n").partition("\n\n")
            head = head.split("\n")
            try: holds = head[:2] == ["c2sp.org/tlog-proof@v1", "index %d" % (due - 1)] and rest == note and climb(due - 1, size, leaf, [dec(h) for h in head[2:]]) == root
            except ValueError: holds = False
            need(holds, "inclusion proof", proof, "it does not lead from the event to the signed root", r)
        fits = ((not q["streams"] or r["stream"] in q["streams"]) and (not q["types"] or r["type"] in q["types"]) and r["recordedAtMicros"] >= q["sinceMicros"]
                and (not q["untilMicros"] or r["recordedAtMicros"] <= q["untilMicros"]))
        need(fits == inside, "filter", where, "it answers the question and was left out" if fits else "it does not answer the question", r)
        revision, before = streams.get(r["stream"], (-1 if first == 1 else r["revision"] - 1, None if r["revision"] else bytes(32)))
        prev = b'{"prev":"%s"' % before.hex().encode() if inside and before else b""
        need(r["revision"] == revision + 1 and (meta or b"").startswith(prev), "stream chain", where, "it does not follow the record before it in its stream", r)
        need(r["recordedAtMicros"] >= latest, "order", where, "it was recorded before the event that precedes it in the log", r)
        streams[r["stream"]], latest = (r["revision"], leaf), r["recordedAtMicros"]
        leaves.append(leaf)
    for r, _ in rows.values(): need(False, "order", "events.jsonl", "range.jsonl has no such event in the extract", r)
    need("".join(",".join(map(cell, row)) + "\r\n" for row in table) == z.read("events.csv").decode(), "format", "events.csv", "it differs from events.jsonl")
    found, seen = len(table) - 1, len(leaves)
    count = {"events.jsonl": found, "events.csv": found, "range.jsonl": seen}
    need(m["counts"] == {"scanned": seen, "matched": found, "skipped": seen - found} and seen == win["toPosition"] - first + 1 and m["policyVersions"] == sorted(versions - {0})
         and all(f["rows"] == count.get(f["name"], 0) for f in m["files"]), "manifest", "manifest.json", "its counts differ from the files")
    need(sum(n.startswith("proofs/") for n in names) == found, "inclusion proof", "proofs", "there is not one for each event")
    whole = root_of(first - 1, leaves, size, [dec(line) for line in text("range.proof").split("\n")[:-1]])
    need(whole == root, "range root", "range.jsonl", "the window does not hash to the signed root: a record is missing, added, moved or altered")
    return "%s: %d events of %d looked through; log %s of size %d, signed at Unix time %s" % (m["exportId"], found, seen, origin, size, at)

if __name__ == "__main__":
    parser, result = argparse.ArgumentParser(description=__doc__), ""
    for name in ("file", "--keys", "--policy"): parser.add_argument(name)
    a = parser.parse_args()
    try: result = verify(zipfile.ZipFile(a.file), a.keys and json.load(open(a.keys)), a.policy and open(a.policy).read())
    except Exception as e: need(False, "format", a.file, "it cannot be read: %s: %s" % (type(e).__name__, e))
    for f in failures[:50]: print("FAILED  " + f)
    if not a.keys: print("NOTE    no --keys given: the bundle was only compared with the keys it brings along")
    sys.exit(print("REFUSED " + a.file) or 10 if failures else print("OK      " + result) or 0)
