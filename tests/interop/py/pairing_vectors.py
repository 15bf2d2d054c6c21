"""The known answers of pairing, computed without our code: SPAKE2 by the Python package `spake2`, the rest by `hashlib` and `cryptography`.

    pairing_vectors.py FILE            checks that the file says what comes out here
    pairing_vectors.py --write FILE    writes it; the certificates are new ones then
"""

import base64
import datetime
import hashlib
import hmac
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from spake2 import SPAKE2_A, SPAKE2_B

LABEL = b"clasp-pair-v1"


def numbered(label, length):
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(label.encode()).digest(length)


def new_certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "clasp-node")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime.datetime(2000, 1, 1))
    certificate = builder.not_valid_after(datetime.datetime(9999, 12, 31)).sign(key, hashes.SHA256())
    pkcs8 = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "certificate": certificate.public_bytes(serialization.Encoding.DER).hex(),
        "certificate_key": key.private_bytes(*pkcs8).hex(),
    }


def hkdf(salt, key, info):
    """RFC 5869, one block."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def device(side, certificates):
    secret = numbered(f"{side} secret key", 32)
    public = ed25519.Ed25519PrivateKey.from_private_bytes(secret).public_key()
    public = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {
        "name": f"{side} ☃",
        "secret_key": secret.hex(),
        "public_key": public.hex(),
        "device_id": base64.b32encode(hashlib.sha256(b"clasp-id-v1" + public).digest()[:20]).decode().lower(),
        **certificates,
        "fingerprint": hashlib.sha256(bytes.fromhex(certificates["certificate"])).hexdigest(),
        "nonce": numbered(f"{side} nonce", 16).hex(),
        # 64 bytes, read as a little-endian number and reduced modulo the order of the group.
        "scalar": numbered(f"{side} scalar", 64).hex(),
    }


def sealed(side, described, transcript, key):
    name = described["name"].encode()
    card = bytes.fromhex(described["public_key"]) + bytes.fromhex(described["fingerprint"])
    card += (0).to_bytes(2, "big") + bytes([len(name)]) + name
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(described["secret_key"]))
    signature = signer.sign(b"clasp-card-v1" + side + transcript + card)
    return ChaCha20Poly1305(key).encrypt(bytes(12), card + signature, transcript)


def vector(certificates):
    initiator = device("initiator", certificates["initiator"])
    responder = device("responder", certificates["responder"])
    code, correlation = "1234-5678", numbered("correlation", 16)
    password = LABEL + code.replace("-", "").encode()
    # The Python package reads its 64 bytes as a big-endian number.
    scalar = lambda described: lambda _: bytes.fromhex(described["scalar"])[::-1]
    a = SPAKE2_A(password, idA=b"I", idB=b"R", entropy_f=scalar(initiator))
    b = SPAKE2_B(password, idA=b"I", idB=b"R", entropy_f=scalar(responder))
    x, y = a.start(), b.start()
    key = a.finish(y)
    assert key == b.finish(x)
    nonces = bytes.fromhex(initiator["nonce"]) + bytes.fromhex(responder["nonce"])
    transcript = hashlib.sha256(LABEL + correlation + nonces + x + y).digest()
    derived = {label: hkdf(transcript, key, LABEL + b" " + label.encode()) for label in ("I to R", "R to I", "pair", "check")}
    return {
        "code": code,
        "correlation": correlation.hex(),
        "initiator": {**initiator, "pake": x.hex()},
        "responder": {**responder, "pake": y.hex()},
        "spake2_key": key.hex(),
        "transcript": transcript.hex(),
        "keys": {label: value.hex() for label, value in derived.items()},
        "check": f"{int.from_bytes(derived['check'][:8], 'big') % 1_000_000:06}",
        "initiator_box": sealed(b"I", initiator, transcript, derived["I to R"]).hex(),
        "responder_box": sealed(b"R", responder, transcript, derived["R to I"]).hex(),
    }


def main():
    write, path = sys.argv[1] == "--write", sys.argv[-1]
    if write:
        known = vector({side: new_certificate() for side in ("initiator", "responder")})
        with open(path, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=2, ensure_ascii=False)
            file.write("\n")
        return
    with open(path, encoding="utf-8") as file:
        known = json.load(file)
    certificates = {
        side: {field: known[side][field] for field in ("certificate", "certificate_key")}
        for side in ("initiator", "responder")
    }
    computed = vector(certificates)
    wrong = [field for field in computed if computed[field] != known[field]]
    if wrong:
        sys.exit(f"{path}: {', '.join(wrong)} differ from what is computed here")


main()
