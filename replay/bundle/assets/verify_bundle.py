#!/usr/bin/env python3
"""Checks an evidence bundle of an authledger (docs/evidence.md) with Python 3.8 or newer alone and without a network. Exit code
0: everything holds; 10: something does not, and is named. KEYS is keys.json of the log, got on another way than the bundle."""
import argparse, base64, datetime, hashlib, json, re, struct, sys, zipfile
NAMES = re.compile(r"(README\.txt|manifest\.(json|note)|events\.(jsonl|csv)|range\.(jsonl|proof)|checkpoint\.txt|keys\.json|witness-policy\.txt|verify\.html"
                   r"|verify_bundle\.py|proofs/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tlog-proof|timestamps/[1-9][0-9]?\.tsr)")
COLUMNS, FORMAT, MINUTE, failures, remarks = "sequence,recorded_at,stream,revision,type,schema,event_id,leaf,data,metadata".split(","), "authledger/evidence@1", 60 * 10**6, [], []
sha, enc = lambda b: hashlib.sha256(b).digest(), lambda b: base64.b64encode(b).decode()
node = lambda a, b: sha(b"\x01" + a + b)  # RFC 6962 section 2.1
cell = lambda c: '"' + ("'" if c[:1] in tuple("=+-@\t\r") else "") + c.replace('"', '""') + '"'
def dec(s):  # base64 in its one spelling; anything else is nothing
    try: return base64.b64decode(s) if enc(base64.b64decode(s)) == s else b""
    except ValueError: return b""
def need(holds, mechanism, where, problem, r=None, found=failures):
    name = "event @%s %s %s in %s: " % tuple(r.get(k, "") for k in ("sequence", "id", "type", "stream")) if r else ""
    if not holds: found.append("%s: %s: %s%s" % (mechanism, where, name, problem))
# Ed25519, RFC 8032 section 5.1
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, I = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)
def add(p, q):
    k, x, y = D * p[0] * q[0] * p[1] * q[1], p[0] * q[1] + q[0] * p[1], p[1] * q[1] + p[0] * q[0]
    return x * pow(1 + k, -1, P) % P, y * pow(1 - k, -1, P) % P
def mul(n, p):
    return (0, 1) if n == 0 else add(p, mul(n - 1, p)) if n & 1 else mul(n >> 1, add(p, p))
def point(b):
    y, sign = int.from_bytes(b, "little") & (2**255 - 1), b[31] >> 7
    xx = (y*y - 1) * pow(D*y*y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    x = x if (x*x - xx) % P == 0 else x * I % P
    if y >= P or (x*x - xx) % P or (x == 0 and sign): raise ValueError("no point of the curve")
    return x if x & 1 == sign else P - x, y
def ed25519(public, sig, message):
    s, h = int.from_bytes(sig[32:], "little"), int.from_bytes(hashlib.sha512(sig[:32] + public + message).digest(), "little") % L
    try: return len(public) == 32 and len(sig) == 64 and s < L and mul(s, point(b"\x58" + b"\x66" * 31)) == add(point(sig[:32]), mul(h, point(public)))
    except ValueError: return False
# C2SP signed note, cosignature/v1 and tlog-policy
def signatures(note):  # its text, and (name, key hash and signature) of each line
    text, _, lines = note.partition("\n\n")
    words = [line.split(" ") for line in lines.split("\n")]
    if words.pop() != [""] or not all(len(w) == 3 and w[0] == "\u2014" and dec(w[2]) for w in words): raise ValueError("a signature line is damaged")
    return text + "\n", [(name, dec(sig)) for _, name, sig in words]
def signed_by(note, name, public, dated=False):  # whether that key signed; for a dated line the time it says, or None
    text, lines = signatures(note)
    for raw in [raw for n, raw in lines if n == name and raw[:4] == sha(name.encode() + b"\n" + (b"\x04" if dated else b"\x01") + public)[:4]]:
        if not dated: return ed25519(public, raw[4:], text.encode())
        at = int.from_bytes(raw[4:12], "big")
        return at if ed25519(public, raw[12:], b"cosignature/v1\ntime %d\n" % at + text.encode()) else None
def quorum(policy, note):
    ok = {"none": True}
    for word in (line.split() for line in policy.splitlines() if line.strip() and not line.startswith("#")):
        if word[0] == "witness":
            name, _, key = word[2].split("+", 2)
            ok[word[1]] = dec(key)[0] == 4 and signed_by(note, name, dec(key)[1:], True) is not None
        elif word[0] == "group": ok[word[1]] = sum(ok[n] for n in word[3:]) >= ({"any": 1, "all": len(word) - 3}.get(word[2]) or int(word[2]))
        elif word[0] == "quorum": return ok[word[1]]
def climb(index, size, h, path):  # the root that a leaf and its audit path lead to
    if size == 1 or not path: return h if size == 1 and not path else b"none"
    k = 1 << ((size - 1).bit_length() - 1)
    return node(climb(index, k, h, path[:-1]), path[-1]) if index < k else node(path[-1], climb(index - k, size - k, h, path[:-1]))
def root_of(a, b, start, leaves, outside):  # of the leaves a to b; for what is not in the window the proof has hashes, from the left
    if (b <= start or a >= start + len(leaves)) and (b - a) & (b - a - 1) == 0: return (outside or [b"none"]).pop(0)
    if b - a == 1: return leaves[a - start]
    k = a + (1 << ((b - a - 1).bit_length() - 1))
    left = root_of(a, k, start, leaves, outside)
    return node(left, root_of(k, b, start, leaves, outside))
def leaf_of(r, hashes):
    s, t, uid = *(struct.pack(">I", len(n.encode())) + n.encode() for n in (r["stream"], r["type"])), bytes.fromhex(r["id"].replace("-", ""))
    return sha(b"\0" + s + struct.pack(">Q", r["revision"]) + uid + t + struct.pack(">Hq", r["schema"], r["recordedAtMicros"]) + hashes)
def record(r, line, where):  # a record of the window: its leaf, its metadata and row of the table if it is in the extract
    head, meta, row = {k: r[k] for k in ("sequence", "stream", "revision", "id", "type", "schema", "recordedAtMicros")}, b"", None
    show = lambda **rest: json.dumps({**head, **rest}, ensure_ascii=False, separators=(",", ":"))
    if where == "range.jsonl":
        leaf = leaf_of(r, bytes.fromhex(r["dataHash"]) + bytes.fromhex(r["metadataHash"]))
        want = show(dataHash=r["dataHash"], metadataHash=r["metadataHash"], leaf=leaf.hex())
    else:
        data, meta = dec(r["dataBase64"]), dec(r["metadataBase64"])
        leaf, flat = leaf_of(r, sha(data) + sha(meta)), [b.decode().replace("\n", " ").replace("\r", " ") for b in (data, meta)]
        when = (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=r["recordedAtMicros"])).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        want = show(recordedAt=when, leaf=leaf.hex(), dataBase64=enc(data), metadataBase64=enc(meta))[:-1] + ',"data":%s,"metadata":%s}' % tuple(flat)
        row = [str(r["sequence"]), when, r["stream"], str(r["revision"]), r["type"], str(r["schema"]), r["id"], leaf.hex()] + flat
    need(leaf.hex() == r["leaf"], "leaf hash", where, "its bytes hash to another leaf", r)
    need(want == line or leaf.hex() != r["leaf"], "format", where, "the line shows something else than its bytes say", r)
    return leaf, meta, row
def verify(z, pinned, policy):
    names, text = z.namelist(), lambda name: z.read(name).decode()
    if len(set(names)) < len(names) or not all(map(NAMES.fullmatch, names)) or sum(i.file_size for i in z.infolist()) > 1 << 30:
        raise ValueError("unknown or repeated files, or more than 1 GiB: %s" % [n for n in names if not NAMES.fullmatch(n) or len(set(names)) < len(names)])
    m, keys, note, names = json.loads(text("manifest.json")), json.loads(text("keys.json")), text("checkpoint.txt"), set(names)
    need(json.dumps(m, indent=2, ensure_ascii=False) + "\n" == text("manifest.json") and m["bundle"] == FORMAT, "format", "manifest.json", "another format or spelling")
    need([f["name"] for f in m["files"]] == sorted(names - {"manifest.json", "manifest.note"}), "format", "manifest.json", "it lists other files than there are")
    for f in m["files"]: need(f["name"] in names and sha(z.read(f["name"])).hex() == f["sha256"], "file hash", f["name"], "it differs from the manifest")
    pairs = zip(*([(e["epoch"], e["fromSize"], e["publicKey"]) for e in k["epochs"]] for k in (keys, pinned or keys)))
    need(not pinned or pinned["origin"] == keys["origin"] and all(a == b for a, b in pairs), "pinned keys", "keys.json", "it names other keys than the pinned ones")
    keys, (origin, size, root), others = pinned or keys, signatures(note)[0].split("\n")[:-1], signatures(note)[1]
    size, root, win, q, back, publics = int(size), dec(root), m["window"], m["query"], m.get("disorderMicros", 0), [(e["fromSize"], dec(e["publicKey"])) for e in keys["epochs"]]
    public, first, head = [k for start, k in publics if start <= size][-1], win["fromPosition"], {"origin": origin, "size": size, "root": enc(root)}
    need((at := signed_by(note, origin, public, True)) is not None and signed_by(note, origin, public) and origin == keys["origin"], "checkpoint signature", "checkpoint.txt", "the key in force did not sign it")
    need(m["checkpoint"] == {**head, "cosignatures": len([n for n, _ in others if n != origin])}, "manifest", "manifest.json", "it tells another checkpoint")
    need(1 <= first <= win["toPosition"] <= win["atPosition"] == size, "manifest", "manifest.json", "its window is not in the checkpoint")
    need("disorderMicros" not in m or type(back) is int and 0 < back <= MINUTE, "manifest", "manifest.json", "it says that time goes back by more than a minute in the log, or not how far")
    if "manifest.note" in names:
        made, want = text("manifest.note"), "%s\n%s\n%d\n%s\n" % (FORMAT, origin, size, sha(z.read("manifest.json")).hex())
        need(signatures(made)[0] == want and any(signed_by(made, origin, k) for _, k in publics), "manifest", "manifest.note", "it is not the log's signature of this manifest")
    need(not (policy or "witness-policy.txt" in names) or quorum(policy or text("witness-policy.txt"), note), "witness policy", "checkpoint.txt", "the cosignatures make no quorum")
    rows, last, table, leaves, streams, latest, versions = {}, 0, [COLUMNS], [], {}, 0, set()
    for r, line in ((json.loads(line), line) for line in text("events.jsonl").split("\n")[:-1]):
        need(r["sequence"] > last, "order", "events.jsonl", "it is there twice, or not in the order of the log", r)
        rows[r["sequence"]], last = (r, line), max(last, r["sequence"])
    for due, line in enumerate(text("range.jsonl").split("\n")[:-1], first):
        r, inside, where = json.loads(line), line == '{"sequence":%d}' % due, "range.jsonl"
        need(r["sequence"] == due, "order", where, "@%d was expected" % due, r)
        if inside: where, (r, line) = "events.jsonl", rows.pop(due, (r, line))
        leaves.append(b"")
        try: leaf, meta, row = record(r, line, where)
        except (ValueError, LookupError, TypeError, struct.error) as e:
            need(False, "format" if len(r) > 1 else "order", where, "it cannot be read: %r" % e if len(r) > 1 else "the event is missing", r)
            continue
        if inside:
            proof, versions = "proofs/%s.tlog-proof" % r["id"], versions | {json.loads(meta).get("policy_version", 0)}
            head, _, rest = (text(proof) if proof in names else "").partition("\n\n")
            up, want = climb(due - 1, size, leaf, [dec(h) for h in head.split("\n")[2:]]), ["c2sp.org/tlog-proof@v1", "index %d" % (due - 1), note, root]
            need([*head.split("\n")[:2], rest, up] == want, "inclusion proof", proof, "it does not lead from the event to the signed root", r)
            table.append(row)
        fits = all(not q[k + "s"] or r[k] in q[k + "s"] for k in ("stream", "type")) and q["sinceMicros"] <= r["recordedAtMicros"] <= (q["untilMicros"] or 1 << 63)
        need(fits == inside, "filter", where, "it answers the question and was left out" if fits else "it does not answer the question", r)
        t, (revision, before, since) = r["recordedAtMicros"], streams.get(r["stream"], (-1 if first == 1 else r["revision"] - 1, None if r["revision"] else bytes(32), r["recordedAtMicros"]))
        prev = inside and before and not meta.startswith(b'{"prev":"%s"' % before.hex().encode())
        need(r["revision"] == revision + 1 and not prev, "stream chain", where, "it does not follow the record before it in its stream", r)
        need(latest - t <= (MINUTE if back else 0) and (not back or since <= t), "order", where, "it was recorded before an event that precedes it in the log or in its stream", r)
        need(not back or not back < latest - t <= MINUTE, "order", where, "it came late: it was recorded %.6f s before an event that precedes it in the log" % ((latest - t) / 1e6), r, remarks)
        streams[r["stream"]], latest, leaves[-1] = (r["revision"], leaf, t), max(latest, t), leaf
    for r, _ in rows.values(): need(False, "order", "events.jsonl", "range.jsonl has no such event in the extract", r)
    need("".join(",".join(map(cell, row)) + "\r\n" for row in table) == text("events.csv"), "format", "events.csv", "it differs from events.jsonl")
    found, seen = len(table) - 1, len(leaves)
    same = m["counts"] == {"scanned": seen, "matched": found, "skipped": seen - found} and seen == win["toPosition"] - first + 1 and m["policyVersions"] == sorted(versions - {0})
    need(same and all(f["rows"] == {"events.jsonl": found, "events.csv": found, "range.jsonl": seen}.get(f["name"], 0) for f in m["files"]), "manifest", "manifest.json", "its counts differ from the files")
    need(sum(n.startswith("proofs/") for n in names) == found, "inclusion proof", "proofs", "there is not one for each event")
    outside = [dec(line) for line in text("range.proof").split("\n")[:-1]]
    need(seen < size + 1 and root_of(0, size, first - 1, leaves, outside) == root and not outside, "range root", "range.jsonl", "the window does not hash to the signed root: a record is missing, added, moved or altered")
    return "%s: %d events of %d looked through; log %s of size %d, signed at Unix time %s" % (m["exportId"], found, seen, origin, size, at)
if __name__ == "__main__":
    a, result = argparse.ArgumentParser(description=__doc__), ""
    for name in ("file", "--keys", "--policy"): a.add_argument(name)
    a = a.parse_args()
    try: result = verify(zipfile.ZipFile(a.file), a.keys and json.load(open(a.keys)), a.policy and open(a.policy).read())
    except Exception as e: need(False, "format", a.file, "it cannot be read: %s: %s" % (type(e).__name__, e))
    notes = ["REMARK  " + f for f in remarks[:50] + ["%d more events came late" % (len(remarks) - 50)] * (len(remarks) > 50)] + ([] if a.keys else ["NOTE    no --keys given: the bundle was only compared with the keys it brings along"])
    print("\n".join((["FAILED  " + f for f in failures[:50]] or ["OK      " + result]) + notes))
    sys.exit(10 if failures else 0)
