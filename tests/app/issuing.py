"""Certificates of clients that trustme does not make: with a URI, for servers only, of another time."""

from __future__ import annotations

import datetime

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def issue(
    authority: trustme.CA,
    *uris: str,
    common_names: tuple[str, ...] = (),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    begins_in: datetime.timedelta = -DAY,
    ends_in: datetime.timedelta = DAY,
) -> trustme.LeafCert:
    """A certificate with these URIs in its subjectAltName, and these common names in its subject."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    secret = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    if not isinstance(secret, ec.EllipticCurvePrivateKey):
        raise TypeError("trustme's authorities sign with elliptic curves")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins_in)
        .not_valid_after(now + ends_in)
        .add_extension(x509.SubjectAlternativeName(names or [x509.DNSName("x.example.com")]), critical=not common_names)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .sign(secret, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return trustme.LeafCert(private, certificate.public_bytes(serialization.Encoding.PEM), [])
