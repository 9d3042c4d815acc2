#!/usr/bin/env python3
"""Checks an evidence bundle of an authledger (authledger/evidence@1, docs/evidence.md).

  verify_bundle.py FILE.zip [--keys KEYS.json] [--policy POLICY.txt]

Python 3.8 or newer and nothing else; no network. Exit code 0: everything holds; 10: something does not, named on
standard output. Shares no code with the program that wrote the bundle. KEYS.json: the log's public keys, got on another way."""
import argparse, base64, datetime, hashlib, json, re, struct, sys, zipfile

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # Ed25519, RFC 8032 section 5.1
D, I = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)
sha = lambda b: hashlib.sha256(b).digest()
node = lambda a, b: sha(b"\x01" + a + b)  # RFC 6962 section 2.1
failures = []

def fail(mechanism, where, problem, r=None):
    name = "event @%s %s %s in %s: " % (r["sequence"], r.get("id", ""), r.get("type", ""), r.get("stream", "")) if r else ""
    failures.append("%s: %s: %s%s" % (mechanism, where, name, problem))

def add(p, q):
    a, b, c, d = (p[1]-p[0])*(q[1]-q[0]), (p[1]+p[0])*(q[1]+q[0]), 2*p[3]*q[3]*D, 2*p[2]*q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e*f % P, g*h % P, f*g % P, e*h % P)

def mul(n, p):
    out = (0, 1, 1, 0)
    while n:
        out, p, n = (add(out, p) if n & 1 else out), add(p, p), n >> 1
    return out

def point(b):
    y, sign = int.from_bytes(b, "little") & (2**255 - 1), b[31] >> 7
    xx = (y*y - 1) * pow(D*y*y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    x = x if (x*x - xx) % P == 0 else x * I % P
    if y >= P or (x*x - xx) % P or (x == 0 and sign): raise ValueError("not a point of the curve")
    x = x if x & 1 == sign else P - x
    return (x, y, 1, x*y % P)

def ed25519(public, signature, message):
    try: a, r = point(public), point(signature[:32])
    except (ValueError, IndexError): return False
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    u, v = mul(s, (BASE := point(bytes([0x58]) + b"\x66" * 31))), add(r, mul(h, a))
    return len(signature) == 64 and s < L and (u[0]*v[2] - v[0]*u[2]) % P == 0 == (u[1]*v[2] - v[1]*u[2]) % P

def signatures(note):  # of a C2SP signed note: its text, and (name, key hash, signature) of each line
    text, found = note[:note.index("\n\n") + 1], []
    for line in note[len(text) + 1:].split("\n")[:-1]:
        dash, name, b64 = line.split(" ")
        raw = base64.b64decode(b64, validate=True)
        if dash != "\u2014" or base64.b64encode(raw).decode() != b64 or len(raw) < 5: raise ValueError("bad signature line")
        found.append((name, raw[:4], raw[4:]))
    return text, found

def signed_by(note, name, public, dated):  # True, or the time of a dated line (cosignature/v1); None when it did not sign
    text, found = signatures(note)
    kind = b"\x04" if dated else b"\x01"
    for n, key_hash, sig in found:
        if n != name or key_hash != sha(name.encode() + b"\n" + kind + public)[:4]: continue
        if not dated: return ed25519(public, sig, text.encode()) or None
        at = int.from_bytes(sig[:8], "big")
        return at if ed25519(public, sig[8:], b"cosignature/v1\ntime %d\n" % at + text.encode()) else None

def quorum(policy, note):  # C2SP tlog-policy
    ok = {"none": True}
    for word in (line.split() for line in policy.splitlines() if line.strip() and not line.startswith("#")):
        if word[0] in ("witness", "log"):
            name, _, key = word[1 if word[0] == "log" else 2].split("+", 2)
            raw = base64.b64decode(key)
            ok[word[1]] = raw[0] == 4 and signed_by(note, name, raw[1:], True) is not None
        elif word[0] == "group":
            need = {"any": 1, "all": len(word) - 3}.get(word[2]) or int(word[2])
            ok[word[1]] = sum(ok[n] for n in word[3:]) >= need
        elif word[0] == "quorum": return ok[word[1]]
    raise ValueError("the policy names no quorum")

def matches(q, r):
    return ((not q["streams"] or r["stream"] in q["streams"]) and (not q["types"] or r["type"] in q["types"])
            and r["recordedAtMicros"] >= q["sinceMicros"] and (not q["untilMicros"] or r["recordedAtMicros"] <= q["untilMicros"]))

def leaf_of(r, data_hash, metadata_hash):
    s, t = r["stream"].encode(), r["type"].encode()
    return sha(b"\x00" + struct.pack(">I", len(s)) + s + struct.pack(">Q", r["revision"]) + bytes.fromhex(r["id"].replace("-", "")) + struct.pack(">I", len(t)) + t
               + struct.pack(">Hq", r["schema"], r["recordedAtMicros"]) + data_hash + metadata_hash)

def shown(r, rest):  # the one spelling of a line
    head = {k: r[k] for k in ("sequence", "stream", "revision", "id", "type", "schema", "recordedAtMicros")}
    return json.dumps({**head, **rest}, ensure_ascii=False, separators=(",", ":"))

def climb(index, size, leaf, path):  # RFC 9162 section 2.1.3.2
    fn, sn, h = index, size - 1, leaf
    for p in path:
        if sn == 0: return None
        if fn & 1 or fn == sn:
            h = node(p, h)
            while not fn & 1 and fn: fn, sn = fn >> 1, sn >> 1
        else: h = node(h, p)
        fn, sn = fn >> 1, sn >> 1
    return h if sn == 0 else None

def parts(a, b):  # sizes of the perfect subtrees of leaves a to b, from the left
    while a < b:
        k = min(a & -a or 1 << 63, 1 << ((b - a).bit_length() - 1))
        yield a, k
        a += k

def root_of(start, leaves, size, outside):
    left, right = list(parts(0, start)), list(parts(start + len(leaves), size))
    if len(outside) != len(left) + len(right): return None
    stack = []  # (height, hash) of perfect subtrees, as they are found from the left
    for k, h in [(k, h) for (_, k), h in zip(left, outside)] + [(1, h) for h in leaves] + [(k, h) for (_, k), h in zip(right, outside[len(left):])]:
        while stack and stack[-1][0] == k: k, h = 2 * k, node(stack.pop()[1], h)
        stack.append((k, h))
    h = stack.pop()[1]
    while stack: h = node(stack.pop()[1], h)
    return h

def verify(z, pinned, policy):
    infos, names = z.infolist(), z.namelist()
    allowed = re.compile(r"(README\.txt|manifest\.(json|note)|events\.(jsonl|csv)|range\.(jsonl|proof)|checkpoint\.txt|keys\.json|witness-policy\.txt|verify\.html"
                         r"|verify_bundle\.py|proofs/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tlog-proof|timestamps/[1-9][0-9]?\.tsr)")
    for n in names:
        if not allowed.fullmatch(n) or names.count(n) > 1 and len(set(names)) < len(names): return fail("format", n, "unknown or twice in the zip")
    if sum(i.file_size for i in infos) > 1 << 30: return fail("format", "zip", "more than 1 GiB")
    text = lambda name: z.read(name).decode("utf-8")
    m = json.loads(text("manifest.json"))
    if json.dumps(m, indent=2, ensure_ascii=False) + "\n" != text("manifest.json") or m["bundle"] != "authledger/evidence@1":
        fail("format", "manifest.json", "not in its one spelling, or of another format")
    if [f["name"] for f in m["files"]] != sorted(set(names) - {"manifest.json", "manifest.note"}): fail("format", "manifest.json", "lists other files than there are")
    for f in m["files"]:
        if f["name"] in names and hashlib.sha256(z.read(f["name"])).hexdigest() != f["sha256"]: fail("file hash", f["name"], "differs from the manifest")

    keys, note = json.loads(text("keys.json")), text("checkpoint.txt")
    brought = [(e["epoch"], e["fromSize"], e["publicKey"]) for e in keys["epochs"]]
    if pinned:
        mine = [(e["epoch"], e["fromSize"], e["publicKey"]) for e in pinned["epochs"]]
        if pinned["origin"] != keys["origin"] or any(a != b for a, b in zip(brought, mine)): fail("pinned keys", "keys.json", "names other keys than the pinned ones")
        keys = pinned
    origin, size, root = note.split("\n\n")[0].split("\n")
    size, root, win, q = int(size), base64.b64decode(root), m["window"], m["query"]
    publics = [(e["fromSize"], base64.b64decode(e["publicKey"])) for e in keys["epochs"]]
    public = [k for start, k in publics if start <= size][-1]
    at = signed_by(note, origin, public, True)
    if origin != keys["origin"] or not signed_by(note, origin, public, False) or at is None: fail("checkpoint signature", "checkpoint.txt", "not signed by the log's key in force")
    others = len([n for n, _, _ in signatures(note)[1] if n != origin])
    if m["checkpoint"] != {"origin": origin, "size": size, "root": base64.b64encode(root).decode(), "cosignatures": others}: fail("manifest", "manifest.json", "tells another checkpoint")
    if not 1 <= win["fromPosition"] <= win["toPosition"] <= win["atPosition"] == size: return fail("manifest", "manifest.json", "its window is not in the checkpoint")
    if "manifest.note" in names:
        want = "authledger/evidence@1\n%s\n%d\n%s\n" % (origin, size, hashlib.sha256(z.read("manifest.json")).hexdigest())
        if signatures(text("manifest.note"))[0] != want or not any(signed_by(text("manifest.note"), origin, k, False) for _, k in publics): fail("manifest", "manifest.note", "not the log's signature of this manifest")
    policy = policy or ("witness-policy.txt" in names and text("witness-policy.txt"))
    if policy and not quorum(policy, note): fail("witness policy", "checkpoint.txt", "the cosignatures make no quorum")

    rows = {}
    for line in text("events.jsonl").split("\n")[:-1]:
        r = json.loads(line)
        if r["sequence"] in rows or rows and r["sequence"] < max(rows): fail("order", "events.jsonl", "twice, or not in the order of the log", r)
        rows[r["sequence"]] = (r, line)
    cell = lambda c: '"' + ("'" if c[:1] in tuple("=+-@\t\r") else "") + c.replace('"', '""') + '"'
    table, leaves, streams, latest, versions = ["sequence,recorded_at,stream,revision,type,schema,event_id,leaf,data,metadata".split(",")], [], {}, 0, set()
    for due, line in enumerate(text("range.jsonl").split("\n")[:-1], win["fromPosition"]):
        r = json.loads(line)
        if r["sequence"] != due: fail("order", "range.jsonl", "@%d was expected" % due, r)
        where, prev = "range.jsonl", None
        if len(r) == 1:
            where, (r, line) = "events.jsonl", rows.pop(due, (r, line))
            if len(r) == 1:
                fail("order", where, "the event is missing", r)
                leaves.append(bytes(32))
                continue
            data, meta = base64.b64decode(r["dataBase64"]), base64.b64decode(r["metadataBase64"])
            leaf, flat = leaf_of(r, sha(data), sha(meta)), [b.decode("utf-8").replace("\n", " ").replace("\r", " ") for b in (data, meta)]
            when = (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=r["recordedAtMicros"])).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            want = shown(r, {"recordedAt": when, "leaf": r["leaf"], "dataBase64": base64.b64encode(data).decode(), "metadataBase64": base64.b64encode(meta).decode()})
            want = want[:-1] + ',"data":%s,"metadata":%s}' % tuple(flat)
            table.append([str(due), when, r["stream"], str(r["revision"]), r["type"], str(r["schema"]), r["id"], leaf.hex()] + flat)
            versions.add(json.loads(meta).get("policy_version", 0))
            prev, proof = flat[1][:75], "proofs/%s.tlog-proof" % r["id"]
            head, _, rest = (text(proof) if proof in names else "\n\n").partition("\n\n")
            head = head.split("\n")
            if head[:2] != ["c2sp.org/tlog-proof@v1", "index %d" % (due - 1)] or rest != note or climb(due - 1, size, leaf, [base64.b64decode(h, validate=True) for h in head[2:]]) != root:
                fail("inclusion proof", proof, "does not lead to the checkpoint", r)
        else:
            leaf = leaf_of(r, bytes.fromhex(r["dataHash"]), bytes.fromhex(r["metadataHash"]))
            want = shown(r, {k: r[k] for k in ("dataHash", "metadataHash", "leaf")})
        if leaf.hex() != r["leaf"]: fail("leaf hash", where, "its bytes hash to another leaf", r)
        elif want != line: fail("format", where, "the line is not what its bytes say", r)
        if matches(q, r) != (prev is not None): fail("filter", where, "it should%s be in the extract" % ("" if prev is None else " not"), r)
        revision, before = streams.get(r["stream"], (-1 if win["fromPosition"] == 1 else r["revision"] - 1, bytes(32) if r["revision"] == 0 else None))
        if r["revision"] != revision + 1 or prev and before and prev != '{"prev":"%s"' % before.hex(): fail("stream chain", where, "it does not follow its stream", r)
        if r["recordedAtMicros"] < latest: fail("order", where, "recorded before the event that precedes it", r)
        streams[r["stream"]], latest = (r["revision"], leaf), r["recordedAtMicros"]
        leaves.append(leaf)
    for r, _ in rows.values(): fail("order", "events.jsonl", "range.jsonl has no such event in the extract", r)
    if "".join(",".join(map(cell, row)) + "\r\n" for row in table) != text("events.csv"): fail("format", "events.csv", "differs from events.jsonl")
    found, count = len(table) - 1, {"events.jsonl": len(table) - 1, "events.csv": len(table) - 1, "range.jsonl": len(leaves)}
    if m["counts"] != {"scanned": len(leaves), "matched": found, "skipped": len(leaves) - found} or len(leaves) != win["toPosition"] - win["fromPosition"] + 1 \
            or any(f["rows"] != count.get(f["name"], 0) for f in m["files"]) or m["policyVersions"] != sorted(versions - {0}): fail("manifest", "manifest.json", "its counts differ from the files")
    if sum(n.startswith("proofs/") for n in names) != found: fail("inclusion proof", "proofs", "not one for each event")
    outside = [base64.b64decode(line, validate=True) for line in text("range.proof").split("\n")[:-1]]
    if root_of(win["fromPosition"] - 1, leaves, size, outside) != root: fail("range root", "range.jsonl", "the window does not hash to the signed root: a record is missing, added, moved or altered")
    return "%s: %d events of %d looked through, log %s of size %d, signed %s" % (m["exportId"], found, len(leaves), origin, size, datetime.datetime.utcfromtimestamp(at or 0).isoformat() + "Z")

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("file", "--keys", "--policy"): p.add_argument(name)
    a = p.parse_args()
    try: result = verify(zipfile.ZipFile(a.file), a.keys and json.load(open(a.keys)), a.policy and open(a.policy).read())
    except Exception as e: result = fail("format", a.file, "cannot be read: %s: %s" % (type(e).__name__, e))
    for f in failures[:50]: print("FAILED  " + f)
    if not a.keys: print("NOTE    no --keys given: the bundle was only compared with the keys it brings along")
    print("REFUSED %s" % a.file if failures else "OK      %s" % result)
    sys.exit(10 if failures else 0)

if __name__ == "__main__":
    main()
