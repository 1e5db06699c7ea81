"""An LDAP directory for tests: Debian's slapd, on a port and a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/libexec:/usr/local/libexec")
ADMIN, ADMIN_PASSWORD = "cn=admin,dc=example", "root-pw"

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
suffix "dc=example"
rootdn "{admin}"
rootpw {password}
directory {folder}
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""

ENTRIES = """
dn: dc=example
objectClass: domain
dc: example

dn: ou=people,dc=example
objectClass: organizationalUnit
ou: people

dn: cn=alice,ou=people,dc=example
objectClass: inetOrgPerson
cn: alice
sn: Alice
uid: al
mail: alice@example.com
description: ^orders
userPassword: alice-pw

dn: cn=b\\2Cob,ou=people,dc=example
objectClass: inetOrgPerson
cn: b,ob
sn: Bob
uid: bo
userPassword: bob-pw

dn: ou=groups,dc=example
objectClass: organizationalUnit
ou: groups

dn: cn=admins,ou=groups,dc=example
objectClass: groupOfNames
cn: admins
member: cn=alice,ou=people,dc=example

dn: cn=everybody,ou=groups,dc=example
objectClass: groupOfNames
cn: everybody
member: cn=admins,ou=groups,dc=example
member: cn=b\\2Cob,ou=people,dc=example

dn: ou=vhosts,dc=example
objectClass: organizationalUnit
ou: vhosts

dn: ou=shop,ou=vhosts,dc=example
objectClass: organizationalUnit
ou: shop
"""


class Slapd:
    """The running directory."""

    def __init__(self, folder: Path) -> None:
        if SLAPD is None:
            pytest.skip("slapd is not installed: apt-get install slapd")
        self.port, self.tls_port = _free_port(), _free_port()
        authority = Authority(folder)
        self.ca = str(authority.file)
        certificate, key = authority.sign("slapd")
        configuration = folder / "slapd.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                ca=authority.file,
                certificate=certificate,
                key=key,
                admin=ADMIN,
                password=ADMIN_PASSWORD,
            )
        )
        entries = folder / "entries.ldif"
        entries.write_text(ENTRIES.lstrip())
        slapadd = Path(SLAPD).with_name("slapadd")
        subprocess.run(
            [slapadd, "-q", "-f", configuration, "-l", entries], check=True, capture_output=True
        )
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        self.process = subprocess.Popen(
            [SLAPD, "-f", configuration, "-h", urls, "-d", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.process.poll() is None, "slapd has ended"
            time.sleep(0.02)
        raise AssertionError("slapd does not listen")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def a_directory(folder: Path) -> Iterator[Slapd]:
    """The directory, for the time of the block."""
    made = Slapd(folder)
    try:
        yield made
    finally:
        made.stop()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
