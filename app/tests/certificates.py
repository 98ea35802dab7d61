"""Certificates that nobody vouches for, made by openssl."""

import shutil
import subprocess
from pathlib import Path

_AUTHORITY = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""

Pair = tuple[Path, Path]
"""A certificate and its key."""


def self_signed(folder: Path, name: str = "localhost") -> Pair:
    """Make one for a host, good for a day."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    _openssl("req", "-x509", "-newkey", *_new(key, name), "-days", "1", "-out", str(certificate))
    return certificate, key


def expired(folder: Path) -> Pair:
    """Make one for localhost that was good until 2021."""
    request, certificate, key = (folder / f"expired.{suffix}" for suffix in ("csr", "pem", "key"))
    (folder / "index").touch()
    (folder / "ca.conf").write_text(_AUTHORITY.format(folder=folder))
    _openssl("req", "-newkey", *_new(key, "localhost"), "-out", str(request))
    dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
    _openssl(
        "ca", "-batch", "-selfsign", "-config", str(folder / "ca.conf"), "-keyfile", str(key), *dates,
        "-in", str(request), "-out", str(certificate),
    )  # fmt: skip
    return certificate, key


def _new(key: Path, name: str) -> list[str]:
    curve = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    return [*curve, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    assert program, "apt-get install openssl"
    subprocess.run([program, *arguments], check=True, capture_output=True)
